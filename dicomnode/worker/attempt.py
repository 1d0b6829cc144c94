"""One attempt at a job: analysed and finished, or failed, postponed, reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TypeVar

import structlog

from dicomnode.domain.delivery import NewResult
from dicomnode.domain.job import Job
from dicomnode.domain.retry import next_attempt_at
from dicomnode.errors import DeviceLost, DicomNodeError, LostLease
from dicomnode.ports import Clock, Jobs
from dicomnode.worker.pipeline import Pipeline

_log = structlog.get_logger(__name__)
_Answer = TypeVar("_Answer")

CRASHED = "the analysis ended with an unexpected error"
"""What a report says of an error that only the log may describe."""

EXHAUSTED = "the analysis was tried several times and ended the worker each time"
"""What a report says of a job that housekeeping has taken from dead workers."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a job failed: ``error`` for the worklist, ``reason`` for the report.

    ``lost``: another worker has the job, nothing to note. ``fatal``: this process can
    work on nothing more.
    """

    error: str
    reason: str
    retryable: bool
    lost: bool = False
    fatal: bool = False


class Attempts:
    """Makes attempts at jobs; may be used by several threads."""

    def __init__(
        self,
        pipelines: Mapping[str, Pipeline],
        jobs: Jobs,
        clock: Clock,
        retry_seconds: Sequence[float],
    ) -> None:
        self._pipelines = pipelines
        self._jobs = jobs
        self._clock = clock
        self._retry_seconds = retry_seconds

    def work(self, job: Job) -> Failure | None:
        """Analyse the job and finish it, or note how it failed."""
        failure = guarded(job, self._analyse)
        if failure is not None:
            self.fail(job, failure)
        guarded(job, lambda job: self._pipelines[job.pipeline].ended())
        return failure

    def fail(self, job: Job, failure: Failure) -> None:
        """Postpone the job, or end it with a report once the retries have ended."""
        event = "job.lost_lease"
        if not failure.lost:
            delays = self._retry_seconds if failure.retryable else ()
            retry_at = next_attempt_at(job.attempts, delays, self._clock.now())
            with suppress(LostLease):
                self._note_failure(job, failure, retry_at)
                event = "job.failed" if retry_at is None else "job.postponed"
        _log.warning(event, job_id=job.job_id, error=failure.error)

    def give_back(self, job: Job, error: str) -> None:
        """Let another worker have the job at once: it was not its fault."""
        now = self._clock.now()
        with suppress(LostLease):
            self._jobs.fail(job, error, now, now)
        _log.warning("job.given_back", job_id=job.job_id, error=error)

    def report(self, job: Job) -> None:
        """Say to the destinations that a FAILED job, which nobody reported, failed."""
        results = self._refusals(job, EXHAUSTED)
        if results:
            with suppress(LostLease):
                self._jobs.report(job, results, self._clock.now())
                _log.info("job.reported", job_id=job.job_id, pipeline=job.pipeline)

    def _analyse(self, job: Job) -> None:
        analysis = self._pipelines[job.pipeline].analyse(
            job,
            self._jobs.instances(job.study_instance_uid),
            partial(self._jobs.earlier_results, job),
        )
        self._jobs.finish(
            job,
            analysis.outcome,
            analysis.reason,
            analysis.results,
            self._clock.now(),
            analysis.findings,
        )

    def _note_failure(
        self, job: Job, failure: Failure, retry_at: datetime | None
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

        answer = guarded(job, refuse)
        if isinstance(answer, Failure):
            _log.warning("job.no_report", job_id=job.job_id, error=answer.error)
            return ()
        return answer


def guarded(job: Job, deed: Callable[[Job], _Answer]) -> _Answer | Failure:
    """What ``deed`` gives, or how it failed: no job ends the worker."""
    try:
        return deed(job)
    except LostLease as error:
        return Failure(str(error), "", retryable=False, lost=True)
    except DicomNodeError as error:
        reason = str(error).partition(";")[0]
        fatal = isinstance(error, DeviceLost)
        return Failure(str(error), reason, retryable=error.retryable, fatal=fatal)
    except Exception as error:  # noqa: BLE001  # the boundary of the worker: one job
        _log.exception("job.crashed", job_id=job.job_id)
        text = f"{type(error).__name__}: {error}"
        return Failure(text, CRASHED, retryable=True)
