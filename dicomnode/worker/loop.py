"""Claim, analyse, finish; one broken job never stops the line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread

import structlog

from dicomnode.domain.job import Job, Worker
from dicomnode.domain.retry import next_attempt_at
from dicomnode.errors import DicomNodeError, LostLease, WorklistError
from dicomnode.ports import Clock, Jobs
from dicomnode.worker.pipeline import Analysis, Pipeline

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """Who this worker is, for v1_workers."""

    worker_id: str
    host: str
    device: str


@dataclass(frozen=True, slots=True)
class LoopPolicy:
    """Lease, heartbeat, idle pause (seconds) and delays between attempts."""

    lease_seconds: float
    heartbeat_seconds: float
    poll_seconds: float
    retry_seconds: Sequence[float]


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

    def run(self, stop: Event) -> None:
        """Work until ``stop`` is set; a job that has begun is finished first."""
        idle_heartbeats = self._every_heartbeat()
        while not stop.is_set():
            next(idle_heartbeats)
            if not self.run_once():
                stop.wait(self._policy.poll_seconds)
        self._report("STOPPED", None)

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
        try:
            with self._kept_alive(job):
                analysis = self._pipelines[job.pipeline].analyse(
                    job, self._jobs.instances(job.study_instance_uid)
                )
            self._finish(job, analysis)
        except LostLease as error:
            _log.warning("job.lost_lease", job_id=job.job_id, error=str(error))
        except DicomNodeError as error:
            self._fail(job, str(error), retryable=error.retryable)
        except Exception as error:  # noqa: BLE001  # the boundary of the worker: one job
            _log.exception("job.crashed", job_id=job.job_id)
            self._fail(job, f"{type(error).__name__}: {error}", retryable=True)
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

    def _finish(self, job: Job, analysis: Analysis) -> None:
        self._jobs.finish(
            job,
            analysis.outcome,
            analysis.reason,
            analysis.results,
            self._clock.now(),
        )

    def _fail(self, job: Job, error: str, *, retryable: bool) -> None:
        now = self._clock.now()
        delays = self._policy.retry_seconds if retryable else ()
        retry_at = next_attempt_at(job.attempts, delays, now)
        try:
            self._jobs.fail(job, error, retry_at, now)
        except LostLease:
            _log.warning("job.lost_lease", job_id=job.job_id, error=error)
        else:
            event = "job.failed" if retry_at is None else "job.postponed"
            _log.warning(event, job_id=job.job_id, error=error)

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
