"""The worker's view: jobs are claimed, kept alive and ended."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, func, null, select, update
from sqlalchemy import true as always

from dicomnode.domain.delivery import DeliveryState, NewResult
from dicomnode.domain.findings import Presence
from dicomnode.domain.instance import Instance
from dicomnode.domain.job import JOB_STATES, Job, JobState, Outcome, Worker
from dicomnode.domain.result import KeptResult
from dicomnode.errors import LostLease
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.kept import arrived_before, results_of
from dicomnode.worklist.moves import job_event, may, state_after
from dicomnode.worklist.outbox import add_result
from dicomnode.worklist.prepared import Prepared
from dicomnode.worklist.rows import instances_of
from dicomnode.worklist.schema import deliveries, jobs, workers
from dicomnode.worklist.superseding import supersede_attempts, supersede_older
from dicomnode.worklist.taking import Hand, Wanted, is_there, take
from dicomnode.worklist.unreported import unreported


class Jobs:
    """Implements ``ports.Jobs``."""

    def __init__(self, database: Database, host: str = "") -> None:
        self._database = database
        self._host = host

    def claim(
        self,
        worker_id: str,
        pipelines: Collection[str],
        now: datetime,
        lease_seconds: float,
        limit: int = 1,
        above: int | None = None,
    ) -> Sequence[Job]:
        """SCHEDULED -> IN_PROGRESS, highest priority first, then the oldest.

        A study waits while an instance of it lies in the spool of another host.
        """
        wanted = Wanted(tuple(sorted(pipelines)), self._host, above)
        lease = now + timedelta(seconds=lease_seconds)
        if self._database.is_sqlite:
            # Look first: an idle worker must not take the write lock with every poll.
            with self._database.read() as connection:
                if not is_there(connection, wanted, now):
                    return []
        with self._database.write() as transaction:
            return take(transaction, wanted, Hand(worker_id, now, lease, limit))

    def renew(self, job: Job, now: datetime, lease_seconds: float) -> Job:
        """The heartbeat: a later ``lease_expires_at``. Raises LostLease."""
        lease = now + timedelta(seconds=lease_seconds)
        with self._database.write() as transaction:
            held = transaction.execute(
                update(jobs).where(_held(job)).values(lease_expires_at=lease)
            )
            if held.rowcount != 1:
                raise _lost(job)
        return replace(job, lease_expires_at=lease)

    def finish(
        self,
        job: Job,
        outcome: Outcome,
        reason: str,
        results: Sequence[NewResult],
        now: datetime,
        findings: Mapping[str, Presence] | None = None,
    ) -> None:
        """IN_PROGRESS -> COMPLETED with its results and their deliveries."""
        values = {
            "outcome": outcome.value,
            "reason": reason,
            "error": "",
            "findings": json.dumps(findings or {}),
        }
        with self._database.write() as transaction:
            if _end(transaction, job, "finish", {**values, "finished_at": now}):
                supersede_attempts(transaction, job, results, now)
                _note(transaction, job, "finish", now, f"{outcome.value}: {reason}")
            elif not _finished_already(transaction, job):
                raise _lost(job)
            for result in results:
                _add_result(transaction, job, result, now)
            supersede_older(transaction, job, now)

    def fail(
        self,
        job: Job,
        error: str,
        retry_at: datetime | None,
        now: datetime,
        results: Sequence[NewResult] = (),
    ) -> None:
        """IN_PROGRESS -> SCHEDULED at ``retry_at``; None: FAILED. Raises LostLease."""
        event, values = "fail", {"error": error, "finished_at": now}
        if retry_at is not None:
            event, values = "postpone", {"error": error, "not_before": retry_at}
        with self._database.write() as transaction:
            if not _end(transaction, job, event, values):
                raise _lost(job)
            _note(transaction, job, event, now, f"attempt {job.attempts}")
            for result in results:
                _add_result(transaction, job, result, now)
            if results:
                supersede_older(transaction, job, now)

    def n_unfinished(self, at_most: int) -> int:
        """Jobs that are SCHEDULED or IN_PROGRESS; counted up to ``at_most``."""
        states = (JobState.SCHEDULED, JobState.IN_PROGRESS)
        some = select(jobs.c.job_id).where(jobs.c.state.in_(states)).limit(at_most)
        with self._database.read() as connection:
            counted = connection.execute(
                select(func.count()).select_from(some.subquery())
            )
            return int(counted.scalar_one())

    def claim_unreported(
        self,
        worker_id: str,
        pipelines: Collection[str],
        now: datetime,
        lease_seconds: float,
    ) -> Sequence[Job]:
        """A job that lately FAILED and left no result, once; or none."""
        wanted = unreported(pipelines, now)
        with self._database.read() as connection:
            if connection.execute(wanted).first() is None:
                return []
        lease = now + timedelta(seconds=lease_seconds)
        with self._database.write() as transaction:
            found = transaction.rows(wanted.with_for_update(skip_locked=True))
            taken = transaction.rows(
                update(jobs)
                .where(jobs.c.job_id.in_([row.job_id for row in found]))
                .values(worker_id=worker_id, lease_expires_at=lease)
                .returning(*jobs.c)
            )
            return [job_of(row) for row in taken]

    def report(self, job: Job, results: Sequence[NewResult], now: datetime) -> None:
        """Results that say that a FAILED job's study was not analysed."""
        failed = jobs.c.state == JobState.FAILED.value
        with self._database.write() as transaction:
            if not transaction.rows(select(always()).where(_mine(job), failed)):
                raise _lost(job)
            for result in results:
                _add_result(transaction, job, result, now)
            supersede_older(transaction, job, now)
            owner, state = (job.job_id, job.study_instance_uid), JobState.FAILED.value
            transaction.note(job_event(owner, "report", state, now))

    def instances(self, study_instance_uid: str) -> Sequence[Instance]:
        """The current instances of a study, in order of arrival."""
        with self._database.read() as connection:
            return instances_of(connection, study_instance_uid)

    def earlier_results(self, job: Job) -> Sequence[KeptResult]:
        """What destinations have of earlier analyses, in the order it was kept."""
        with self._database.read() as connection:
            return arrived_before(connection, job)

    def results(self, job_id: str) -> Sequence[KeptResult]:
        """All results of a job, in the order they were kept."""
        with self._database.read() as connection:
            return results_of(connection, job_id)

    def heartbeat(self, worker: Worker) -> None:
        """Record what a worker is doing."""
        values = asdict(worker)
        with self._database.write() as transaction:
            if not transaction.insert_missing(workers, values):
                transaction.execute(
                    update(workers)
                    .where(workers.c.worker_id == worker.worker_id)
                    .values(values)
                )


def job_of(row: Row[Any]) -> Job:
    """A row of ``jobs`` as a Job."""
    return Job(
        job_id=row.job_id,
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        pipeline=row.pipeline,
        priority=row.priority,
        attempts=row.attempts,
        worker_id=row.worker_id,
        lease_expires_at=row.lease_expires_at,
        scheduled_at=row.scheduled_at,
    )


def _mine(job: Job) -> ColumnElement[bool]:
    """The very claim that ``job`` is: another claim has another worker or attempt."""
    return (
        (jobs.c.job_id == job.job_id)
        & (jobs.c.worker_id == job.worker_id)
        & (jobs.c.attempts == job.attempts)
    )


def _held(job: Job) -> ColumnElement[bool]:
    return _mine(job) & (jobs.c.state == JobState.IN_PROGRESS.value)


def _end(
    transaction: Transaction, job: Job, event: str, values: dict[str, Any]
) -> bool:
    new = {f"new_{name}": value for name, value in values.items()}
    claim = {"job": job.job_id, "worker": job.worker_id, "attempt": job.attempts}
    return bool(transaction.run(_ending(event, tuple(values)), [{**claim, **new}]))


@cache
def _ending(event: str, names: tuple[str, ...]) -> Prepared:
    """Changes the row of a claim that is still held."""
    new = {name: bindparam(f"new_{name}", type_=jobs.c[name].type) for name in names}
    return Prepared(
        update(jobs)
        .where(jobs.c.job_id == bindparam("job"))
        .where(jobs.c.worker_id == bindparam("worker"))
        .where(jobs.c.attempts == bindparam("attempt"))
        .where(jobs.c.state == JobState.IN_PROGRESS.value)
        .where(may(JOB_STATES, jobs.c.state, event))
        .values(state=state_after(JOB_STATES, event), lease_expires_at=null(), **new)
        .returning(jobs.c.job_id)
    )


def _finished_already(transaction: Transaction, job: Job) -> bool:
    """This very claim has finished, only its worker does not know (a cut line)."""
    completed = jobs.c.state == JobState.COMPLETED.value
    return bool(transaction.rows(select(always()).where(_mine(job), completed)))


def _lost(job: Job) -> LostLease:
    return LostLease(
        f"the lease on job {job.job_id} (attempt {job.attempts}) is lost; drop the "
        "work, the job goes on elsewhere: see `dicomnode show`"
    )


def _note(
    transaction: Transaction, job: Job, event: str, now: datetime, detail: str
) -> None:
    owner = (job.job_id, job.study_instance_uid)
    state = state_after(JOB_STATES, event)
    transaction.note(job_event(owner, event, state, now, detail))


def _add_result(
    transaction: Transaction, job: Job, result: NewResult, now: datetime
) -> None:
    result_id = add_result(transaction, job.job_id, result, now)
    for destination in result.destinations:
        _add_delivery(transaction, job, result_id, destination, now)


def _add_delivery(
    transaction: Transaction, job: Job, result_id: int, destination: str, now: datetime
) -> None:
    state = DeliveryState.PENDING.value
    values = {
        "result_id": result_id,
        "job_id": job.job_id,
        "destination": destination,
        "state": state,
        "next_attempt_at": now,
    }
    if transaction.insert_missing(deliveries, values):
        uid, kind = job.study_instance_uid, "delivery schedule"
        transaction.note(Event(now, kind, state, uid, job.job_id, destination))
