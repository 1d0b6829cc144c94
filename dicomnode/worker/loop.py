"""Claim, analyse, finish; one broken job never stops the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from threading import Event, Thread
from typing import TypeVar

import structlog

from dicomnode.domain.delivery import NewResult
from dicomnode.domain.job import Job, Worker
from dicomnode.domain.retry import next_attempt_at
from dicomnode.errors import DicomNodeError, LostLease, WorklistError
from dicomnode.ports import Clock, Jobs
from dicomnode.worker.hands import Hands
from dicomnode.worker.pipeline import Pipeline

_log = structlog.get_logger(__name__)
_Answer = TypeVar("_Answer")

CRASHED = "the analysis ended with an unexpected error"
"""What a report says of an error that only the log may describe."""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """Who this worker is, for v1_workers."""

    worker_id: str
    host: str
    device: str


@dataclass(frozen=True, slots=True)
class LoopPolicy:
    """Lease, heartbeat, idle pause (seconds) and delays between attempts.

    ``timeout_seconds`` is what one study may take; 0 waits for ever.
    """

    lease_seconds: float
    heartbeat_seconds: float
    poll_seconds: float
    retry_seconds: Sequence[float]
    timeout_seconds: float = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    """How a job failed: ``error`` for the worklist, ``reason`` for the report."""

    error: str
    reason: str
    retryable: bool
    lost: bool = False
    """Another worker has the job: nothing to note."""


class WorkerLoop:
    """Works on the jobs of the pipelines it has warm predictors for."""

    def __init__(
        self,
        facts: WorkerFacts,
        pipelines: Mapping[str, Pipeline],
        jobs: Jobs,
        clock: Clock,
        policy: LoopPolicy,
    ) -> None:
        self._facts = facts
        self._pipelines = pipelines
        self._jobs = jobs
        self._clock = clock
        self._policy = policy
        self._hands = Hands()
        self._hangs = False

    def run(self, stop: Event) -> bool:
        """Work until ``stop`` is set; a job that has begun is finished first.

        False when a job hangs: its thread cannot be ended, so the process must be.
        """
        idle_heartbeats = self._every_heartbeat()
        while not (stop.is_set() or self._hangs):
            next(idle_heartbeats)
            if not self.run_once():
                stop.wait(self._policy.poll_seconds)
        self._report("STOPPED", None)
        return not self._hangs

    def run_once(self) -> bool:
        """Claim and work on one job; False when there was none."""
        claimed = self._jobs.claim(
            self._facts.worker_id,
            tuple(self._pipelines),
            self._clock.now(),
            self._policy.lease_seconds,
        )
        for job in claimed:
            self._work(job)
        return bool(claimed)

    def _work(self, job: Job) -> None:
        started_at = self._clock.now()
        self._report("BUSY", job)
        failure = self._tried(job, self._analyse)
        if failure is not None:
            self._fail(job, failure)
        elapsed = self._clock.now() - started_at
        self._report("IDLE", None)
        _log.info(
            "job.worked",
            job_id=job.job_id,
            study_instance_uid=job.study_instance_uid,
            pipeline=job.pipeline,
            attempts=job.attempts,
            elapsed_seconds=round(elapsed.total_seconds(), 4),
        )

    def _tried(self, job: Job, deed: Callable[[Job], _Answer]) -> _Answer | _Failure:
        """What ``deed`` gives, or how it failed."""
        limit = self._policy.timeout_seconds
        try:
            with self._kept_alive(job):
                return self._hands.do(lambda: _guarded(job, deed), limit)
        except TimeoutError:
            # What hangs keeps these hands; new ones can still write the report.
            self._hangs, self._hands = True, Hands()
            reason = f"no answer within {limit:g} seconds"
            error = f"{reason}; see the worker's log, then `dicomnode retry` the job"
            return _Failure(error, reason, retryable=False)

    def _analyse(self, job: Job) -> None:
        analysis = self._pipelines[job.pipeline].analyse(
            job,
            self._jobs.instances(job.study_instance_uid),
            self._jobs.earlier_results(job),
        )
        self._jobs.finish(
            job,
            analysis.outcome,
            analysis.reason,
            analysis.results,
            self._clock.now(),
            analysis.findings,
        )

    def _fail(self, job: Job, failure: _Failure) -> None:
        event = "job.lost_lease"
        if not failure.lost:
            delays = self._policy.retry_seconds if failure.retryable else ()
            retry_at = next_attempt_at(job.attempts, delays, self._clock.now())
            with suppress(LostLease):
                self._note_failure(job, failure, retry_at)
                event = "job.failed" if retry_at is None else "job.postponed"
        _log.warning(event, job_id=job.job_id, error=failure.error)

    def _note_failure(
        self, job: Job, failure: _Failure, retry_at: datetime | None
    ) -> None:
        results = self._refusals(job, failure.reason) if retry_at is None else ()
        self._jobs.fail(job, failure.error, retry_at, self._clock.now(), results)

    def _refusals(self, job: Job, reason: str) -> Sequence[NewResult]:
        """Results that say that the study was not analysed; none if even they fail."""

        def refuse(job: Job) -> Sequence[NewResult]:
            instances = self._jobs.instances(job.study_instance_uid)
            earlier = self._jobs.earlier_results(job)
            pipeline = self._pipelines[job.pipeline]
            return pipeline.refuse(job, instances, earlier, reason)

        answer = self._tried(job, refuse)
        if isinstance(answer, _Failure):
            _log.warning("job.no_report", job_id=job.job_id, error=answer.error)
            return ()
        return answer

    @contextmanager
    def _kept_alive(self, job: Job) -> Iterator[None]:
        done = Event()
        heart = Thread(target=self._beat, args=(job, done), daemon=True)
        heart.start()
        try:
            yield
        finally:
            done.set()
            heart.join()

    def _beat(self, job: Job, done: Event) -> None:
        while not done.wait(self._policy.heartbeat_seconds):
            try:
                job = self._jobs.renew(
                    job, self._clock.now(), self._policy.lease_seconds
                )
                self._report("BUSY", job)
            except LostLease:
                return  # the job's own finish finds out and drops the work
            except WorklistError as error:
                _log.warning("job.renew_failed", job_id=job.job_id, error=str(error))

    def _every_heartbeat(self) -> Iterator[None]:
        due = self._clock.now().timestamp()
        while True:
            now = self._clock.now().timestamp()
            if now >= due:
                self._report("IDLE", None)
                due = now + self._policy.heartbeat_seconds
            yield

    def _report(self, state: str, job: Job | None) -> None:
        bundles = ",".join(
            f"{one.bundle.name} {one.bundle.version}"
            for one in self._pipelines.values()
        )
        self._jobs.heartbeat(
            Worker(
                worker_id=self._facts.worker_id,
                host=self._facts.host,
                device=self._facts.device,
                bundle=bundles,
                state=state,
                job_id=None if job is None else job.job_id,
                heartbeat_at=self._clock.now(),
            )
        )


def _guarded(job: Job, deed: Callable[[Job], _Answer]) -> _Answer | _Failure:
    try:
        return deed(job)
    except LostLease as error:
        return _Failure(str(error), "", retryable=False, lost=True)
    except DicomNodeError as error:
        reason = str(error).partition(";")[0]
        return _Failure(str(error), reason, retryable=error.retryable)
    except Exception as error:  # noqa: BLE001  # the boundary of the worker: one job
        _log.exception("job.crashed", job_id=job.job_id)
        text = f"{type(error).__name__}: {error}"
        return _Failure(text, CRASHED, retryable=True)
