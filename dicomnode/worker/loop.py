"""Claim, analyse, finish, several jobs at once; one broken job never stops the line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic

import structlog

from dicomnode.domain.findings import BundleFacts
from dicomnode.domain.job import Job, Worker
from dicomnode.errors import LostLease, WorklistError
from dicomnode.ports import Clock, Jobs
from dicomnode.worker.attempt import Attempts, Failure, guarded
from dicomnode.worker.hands import Crew
from dicomnode.worker.pipeline import Pipeline
from dicomnode.worker.policy import LoopPolicy, Signals, WorkerFacts
from dicomnode.worker.room import Holding, Room
from dicomnode.worker.throughput import Throughput

__all__ = ["LoopPolicy", "Signals", "WorkerFacts", "WorkerLoop"]

_log = structlog.get_logger(__name__)

REPORT_SECONDS = 30.0
"""What a report that a study was not analysed may take; it holds up the heartbeat."""

RETELL_SECONDS = 1.0
"""So long what a worker said may be out of date: to say it anew is a commit, which a
job of a moment would wait for.
"""

RESTARTED = "its worker was started afresh because another job hung"


@dataclass
class _Held:
    """A claimed job; ``answer`` is None while it waits until it can be alone."""

    job: Job
    answer: Future[Failure | None] | None = None
    began_at: float = 0.0
    """On the monotonic clock."""
    lost: bool = False

    @property
    def is_suspect(self) -> bool:
        """It may have ended a worker before: others must not be hurt with it."""
        return self.job.attempts > 1


class WorkerLoop:
    """Works on the jobs of the pipelines it has warm predictors for."""

    def __init__(
        self,
        facts: WorkerFacts,
        pipelines: Mapping[str, Pipeline],
        jobs: Jobs,
        clock: Clock,
        policy: LoopPolicy,
        signals: Signals | None = None,
    ) -> None:
        self._facts = facts
        self._pipelines = pipelines
        self._jobs = jobs
        self._clock = clock
        self._policy = policy
        self._room = Room(policy.concurrent_jobs, policy.series_jobs)
        self._kinds = _kinds(pipelines)
        self._signals = signals or Signals()
        self._attempts = Attempts(pipelines, jobs, clock, policy.retry_seconds)
        self._changed = Event()
        self._crew = Crew(self._changed)
        self._held: list[_Held] = []
        self._said: tuple[str, str | None, int] = ("", None, 0)
        self._outdated_at: float | None = None
        self._beat_at = monotonic()
        self._broken = ""
        self._done = Throughput()

    def run(self, stop: Event) -> bool:
        """Work until ``stop`` is set; jobs that have begun are finished first.

        False when this process can do no more: a job hangs, whose thread cannot be
        ended, or the device is lost.
        """
        self._report("IDLE")
        Thread(target=self._wake_at, args=(stop,), daemon=True).start()
        while not self._is_over(stop):
            if stop.is_set():
                self._give_back_unbegun()
            self._turned(claims=not stop.is_set())
            if not self._is_over(stop):
                self._rest(self._pause())
        self._finish_begun()
        self._report(self._broken or "STOPPED")
        return not self._broken

    def _is_over(self, stop: Event) -> bool:
        return bool(self._broken) or (stop.is_set() and not self._held)

    def _turned(self, *, claims: bool) -> None:
        """A turn; without the worklist what is warm stays so, and waits for it."""
        try:
            self._turn(claims=claims)
        except WorklistError as error:
            if error.lasting:
                raise
            _log.warning("worker.no_worklist", error=str(error))

    def run_once(self) -> bool:
        """Claim jobs and work until they have ended; False when there was none."""
        self._turn(claims=True)
        claimed = bool(self._held)
        while self._held and not self._broken:
            self._rest(self._pause())
            self._turn(claims=False)
        return claimed

    def wake(self) -> None:
        """There may be a job: look now, from any thread."""
        self._changed.set()

    def _wake_at(self, stop: Event) -> None:
        stop.wait()
        self.wake()

    def _rest(self, seconds: float) -> None:
        """Until a job ends, somebody wakes us or the time is over."""
        self._changed.wait(seconds)
        self._changed.clear()

    def _turn(self, *, claims: bool) -> None:
        self._signals.alive()
        self._settle()
        self._end_what_hangs()
        if self._broken:
            return
        if claims:
            self._take_up()
        self._begin_suspect()
        self._beat()

    def _pause(self) -> float:
        """Seconds until something may be due though no job has ended."""
        policy = self._policy
        due = min(policy.poll_seconds, policy.heartbeat_seconds)
        if self._outdated_at is not None:
            due = min(due, RETELL_SECONDS)
        return min(due, policy.timeout_seconds) if policy.timeout_seconds else due

    def _settle(self) -> None:
        """Part with the jobs that have ended."""
        for one in [held for held in self._held if _has_ended(held)]:
            self._held.remove(one)
            self._done.note()
            failure = None if one.answer is None else one.answer.result()
            if failure is not None and failure.fatal:
                self._broken = "DEVICE_LOST"
            _log.info(
                "job.worked",
                job_id=one.job.job_id,
                study_instance_uid=one.job.study_instance_uid,
                pipeline=one.job.pipeline,
                attempts=one.job.attempts,
                elapsed_seconds=round(monotonic() - one.began_at, 4),
            )

    def _take_up(self) -> None:
        """Claim while there is room; a suspect job is worked on alone."""
        while claimed := self._claimed():
            for job in claimed:
                held = _Held(job)
                self._held.append(held)
                if not held.is_suspect:
                    self._begin(held)

    def _claimed(self) -> Sequence[Job]:
        """The next job that there is room for."""
        for opening in self._room.openings([self._holding(x) for x in self._held]):
            pipelines = [n for kind in opening.kinds for n in self._kinds[kind]]
            claimed = pipelines and self._jobs.claim(
                self._facts.worker_id,
                pipelines,
                self._clock.now(),
                self._policy.lease_seconds,
                above=opening.above,
            )
            if claimed:
                return claimed
        return ()

    def _holding(self, held: _Held) -> Holding:
        of_series = held.job.pipeline in self._kinds[True]
        waiting = held.answer is None
        return Holding(held.job.priority, of_series, held.is_suspect, waiting)

    def _begin_suspect(self) -> None:
        """Once nobody is beside it; of several the most urgent."""
        if self._held and all(one.answer is None for one in self._held):
            self._begin(max(self._held, key=lambda one: one.job.priority))

    def _begin(self, held: _Held) -> None:
        job = held.job
        held.began_at = monotonic()
        held.answer = self._crew.begin(lambda: self._worked(job))

    def _worked(self, job: Job) -> Failure | None:
        """Never raises: what the worklist refuses here ends with the lease."""
        return guarded(job, self._attempts.work)

    def _end_what_hangs(self) -> None:
        """A job beyond its time: its thread cannot be ended, so the process must be."""
        limit, now = self._policy.timeout_seconds, monotonic()
        late = [
            one
            for one in self._held
            if limit and one.answer is not None and now - one.began_at > limit
        ]
        if not late:
            return
        self._broken = "HANGS"
        reason = f"no answer within {limit:g} seconds"
        error = f"{reason}; see the worker's log, then `dicomnode retry` the job"
        failure = Failure(error, reason, retryable=True)
        for one in self._held:
            if one in late:
                self._in_time(one.job, lambda job: self._attempts.fail(job, failure))
            else:
                self._attempts.give_back(one.job, RESTARTED)
        self._held.clear()

    def _in_time(self, job: Job, deed: Callable[[Job], None]) -> None:
        """Other hands do it; if they hang as well, the lease ends by itself."""
        wait([self._crew.begin(lambda: guarded(job, deed))], REPORT_SECONDS)

    def _finish_begun(self) -> None:
        """With a broken device the others fail by themselves; nothing new begins."""
        self._give_back_unbegun()
        begun = [one.answer for one in self._held if one.answer is not None]
        wait(begun, self._policy.timeout_seconds or None)
        self._settle()

    def _give_back_unbegun(self) -> None:
        for one in [held for held in self._held if held.answer is None]:
            self._held.remove(one)
            self._attempts.give_back(one.job, RESTARTED)

    def _beat(self) -> None:
        """Renew the leases and say what we do, when it is time or has changed."""
        now = monotonic()
        due = now >= self._beat_at
        if due:
            self._beat_at = now + self._policy.heartbeat_seconds
            for held in self._held:
                self._renew(held)
            if not self._held:
                self._report_unreported()
        begun = [one for one in self._held if one.answer is not None]
        saying = ("BUSY", begun[0].job.job_id) if begun else ("IDLE", None)
        if due or self._is_outdated(saying, now):
            self._report(*saying)

    def _is_outdated(self, saying: tuple[str, str | None], now: float) -> bool:
        """Whether what was said has not been so for long enough to say it anew."""
        if (*saying, self._done.n_jobs) == self._said:
            self._outdated_at = None
        elif self._outdated_at is None:
            self._outdated_at = now
        return (
            self._outdated_at is not None and now >= self._outdated_at + RETELL_SECONDS
        )

    def _renew(self, held: _Held) -> None:
        if held.lost:
            return
        try:
            held.job = self._jobs.renew(
                held.job, self._clock.now(), self._policy.lease_seconds
            )
        except LostLease:
            held.lost = True  # the job's own finish finds out and drops the work
        except WorklistError as error:
            _log.warning("job.renew_failed", job_id=held.job.job_id, error=str(error))

    def _report_unreported(self) -> None:
        """Jobs that workers died of have ended without a word to the destinations."""
        found = self._jobs.claim_unreported(
            self._facts.worker_id,
            tuple(self._pipelines),
            self._clock.now(),
            self._policy.lease_seconds,
        )
        for job in found:
            self._in_time(job, self._attempts.report)

    def _report(self, state: str, job_id: str | None = None) -> None:
        self._said, self._outdated_at = (state, job_id, self._done.n_jobs), None
        bundles = ",".join(_runs(one.bundle) for one in self._pipelines.values())
        self._jobs.heartbeat(
            Worker(
                worker_id=self._facts.worker_id,
                host=self._facts.host,
                device=self._facts.device,
                bundle=bundles,
                state=state,
                job_id=job_id,
                heartbeat_at=self._clock.now(),
                n_jobs=self._done.n_jobs,
                jobs_per_hour=self._done.per_hour(),
                warm_seconds=self._facts.warm_seconds,
            )
        )


def _kinds(pipelines: Mapping[str, Pipeline]) -> dict[bool, tuple[str, ...]]:
    """Names of the pipelines that analyse whole series (True), and of the others."""
    return {
        kind: tuple(n for n, one in pipelines.items() if one.of_series is kind)
        for kind in (False, True)
    }


def _runs(bundle: BundleFacts) -> str:
    """Name, version and, where it is known, runtime and precision."""
    how = bundle.parameters.get("arithmetic")
    return f"{bundle.name} {bundle.version}" + (f" ({how})" if how else "")


def _has_ended(held: _Held) -> bool:
    return held.answer is not None and held.answer.done()
