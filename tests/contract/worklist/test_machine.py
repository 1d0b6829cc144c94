"""Any sequence of acts moves a job only along the arrows of its table."""

from __future__ import annotations

from datetime import datetime, timedelta

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from dicomnode.domain.job import JOB_STATES, Job, JobState, Outcome
from dicomnode.errors import IllegalTransition, LostLease
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import NOON, new_result, scheduled, some_uid

LEASE_SECONDS = 60
MAX_ATTEMPTS = 3


class JobMachine(RuleBasedStateMachine):
    """A model beside the real job; workers keep every claim they ever got."""

    def __init__(self, worklist: Worklist) -> None:
        super().__init__()
        self.worklist = worklist
        self.state = JobState.SCHEDULED
        self.attempts = 0
        self.now: datetime = NOON
        self.not_before = NOON
        self.lease_expires_at = NOON
        self.claims: list[Job] = []
        self.held: Job | None = None

    @initialize()
    def schedule(self) -> None:
        self.pipeline = some_uid()
        self.study = some_uid()
        (job,) = scheduled(self.worklist, self.pipeline, study=self.study)
        self.job_id = job.job_id

    def move(self, event: str) -> None:
        self.state = JOB_STATES.after(self.state, event)
        if self.state is not JobState.IN_PROGRESS:
            self.held = None

    @rule(seconds=st.sampled_from([1, 59, 61]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(worker=st.sampled_from(["w1", "w2"]))
    def claim(self, worker: str) -> None:
        taken = self.worklist.jobs.claim(
            worker, [self.pipeline], self.now, LEASE_SECONDS
        )
        due = self.not_before <= self.now
        assert bool(taken) == (self.state is JobState.SCHEDULED and due)
        for job in taken:
            self.move("claim")
            self.attempts += 1
            assert job.attempts == self.attempts
            self.claims.append(job)
            self.held = job
            self.lease_expires_at = job.lease_expires_at

    def owns(self, job: Job) -> bool:
        return self.held is not None and (job.worker_id, job.attempts) == (
            self.held.worker_id,
            self.held.attempts,
        )

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        if not self.claims:
            return
        job = data.draw(st.sampled_from(self.claims))
        try:
            renewed = self.worklist.jobs.renew(job, self.now, LEASE_SECONDS)
        except LostLease:
            assert not self.owns(job)
        else:
            assert self.owns(job)
            self.lease_expires_at = renewed.lease_expires_at

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if not self.claims:
            return
        job = data.draw(st.sampled_from(self.claims))
        completed = self.state is JobState.COMPLETED
        results = [new_result(1, "PACS", study=self.study)]
        try:
            self.worklist.jobs.finish(job, Outcome.ANALYSED, "", results, self.now)
        except LostLease:
            assert not self.owns(job)
        else:
            assert self.owns(job) or completed
            if not completed:
                self.move("finish")

    @rule(data=st.data(), again=st.booleans())
    def fail(self, data: st.DataObject, again: bool) -> None:
        if not self.claims:
            return
        job = data.draw(st.sampled_from(self.claims))
        retry_at = self.now + timedelta(seconds=10) if again else None
        try:
            self.worklist.jobs.fail(job, "broken", retry_at, self.now)
        except LostLease:
            assert not self.owns(job)
        else:
            assert self.owns(job)
            self.not_before = retry_at or self.not_before
            self.move("postpone" if again else "fail")

    @rule()
    def reap(self) -> None:
        self.worklist.upkeep.reap(self.now, MAX_ATTEMPTS)
        running = self.state is JobState.IN_PROGRESS
        if running and self.lease_expires_at <= self.now:
            if self.attempts >= MAX_ATTEMPTS:
                self.move("exhaust")
            else:
                self.move("lose lease")
                self.not_before = self.now

    @rule(event=st.sampled_from(["retry", "cancel"]))
    def administer(self, event: str) -> None:
        desk = self.worklist.desk
        act = desk.retry_job if event == "retry" else desk.cancel_job
        try:
            act(self.job_id, self.now)
        except IllegalTransition:
            assert not JOB_STATES.allows(self.state, event)
        else:
            self.move(event)
            if event == "retry":
                self.attempts, self.not_before = 0, self.now
                self.claims.clear()

    @invariant()
    def the_row_agrees(self) -> None:
        if not hasattr(self, "job_id"):
            return
        (row,) = self.worklist.views.job(self.job_id)
        assert (row["job_state"], row["attempts"]) == (self.state, self.attempts)
        n_deliveries = len(self.worklist.views.deliveries(self.job_id))
        assert n_deliveries == (1 if self.state is JobState.COMPLETED else 0)


def test_jobs_follow_their_table(worklist: Worklist) -> None:
    class Machine(JobMachine):
        def __init__(self) -> None:
            super().__init__(worklist)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=12,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
