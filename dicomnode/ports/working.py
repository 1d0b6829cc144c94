"""The worker's views: its jobs, the network and what watches it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from dicomnode.domain.delivery import NewResult
from dicomnode.domain.findings import (
    BundleFacts,
    ImageFindings,
    NotAnalysed,
    Observation,
    Presence,
)
from dicomnode.domain.instance import Instance
from dicomnode.domain.job import Job, Outcome, Worker
from dicomnode.domain.result import KeptResult
from dicomnode.domain.series import SliceHeader, Volume


class Jobs(Protocol):
    """The worker's view of the worklist."""

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

        ``above``: only of a higher priority than that.
        """
        ...

    def claim_unreported(
        self,
        worker_id: str,
        pipelines: Collection[str],
        now: datetime,
        lease_seconds: float,
    ) -> Sequence[Job]:
        """A job that lately FAILED and left no result, to `report` on it; or none.

        Each is given out once only: it may be the one that ends its worker.
        """
        ...

    def report(self, job: Job, results: Sequence[NewResult], now: datetime) -> None:
        """Results that say that a FAILED job's study was not analysed.

        Raises LostLease when the job has moved on.
        """
        ...

    def renew(self, job: Job, now: datetime, lease_seconds: float) -> Job:
        """The heartbeat: a later ``lease_expires_at``. Raises LostLease."""
        ...

    def finish(
        self,
        job: Job,
        outcome: Outcome,
        reason: str,
        results: Sequence[NewResult],
        now: datetime,
        findings: Mapping[str, Presence] | None = None,
    ) -> None:
        """IN_PROGRESS -> COMPLETED with its results and their deliveries.

        One transaction; the same results again (a rerun) add nothing. ``findings``, by
        label, are kept for the pipelines that come after this one. Raises LostLease.
        """
        ...

    def fail(
        self,
        job: Job,
        error: str,
        retry_at: datetime | None,
        now: datetime,
        results: Sequence[NewResult] = (),
    ) -> None:
        """IN_PROGRESS -> SCHEDULED at ``retry_at``; None: FAILED. Raises LostLease.

        ``results`` say to the destinations that the study was not analysed.
        """
        ...

    def instances(self, study_instance_uid: str) -> Sequence[Instance]:
        """The current instances of a study."""
        ...

    def earlier_results(self, job: Job) -> Sequence[KeptResult]:
        """What destinations have of earlier analyses of this study by this pipeline.

        Of earlier revisions, and of an attempt of this very job that failed with a
        report; in the order they were kept, empty for the first analysis.
        """
        ...

    def heartbeat(self, worker: Worker) -> None:
        """Record what a worker is doing."""
        ...


class Predictor(Protocol):
    """A warm network with its bundle."""

    def describe(self) -> BundleFacts:
        """What a report must say about the bundle."""
        ...

    def predict(
        self, images: Sequence[tuple[Instance, BinaryIO]], priority: int = 0
    ) -> Sequence[ImageFindings | NotAnalysed]:
        """One answer for each image, in order; the urgent go first.

        An image that cannot be decoded, or lies outside the model's domain, is
        NotAnalysed with its reason. Several threads may ask at once. Raises
        PredictionFailed, and DeviceLost when this process can predict nothing more.
        """
        ...


class SeriesPredictor(Predictor, Protocol):
    """A network whose bundle is made for whole series."""

    def survey(
        self,
        uids: Sequence[str],
        open_file: Callable[[str], BinaryIO],
        priority: int = 0,
    ) -> Mapping[str, Sequence[SliceHeader] | str]:
        """SOP Instance UID -> the headers of its slices, or why they cannot be read."""
        ...

    def predict_series(
        self, volume: Volume, open_file: Callable[[str], BinaryIO], priority: int = 0
    ) -> Sequence[ImageFindings] | NotAnalysed:
        """One answer for the wanted slices of a series, on those that drove it.

        ``open_file`` opens an instance by its UID; few are open at a time. Raises
        PredictionFailed and DeviceLost, as `predict` does.
        """
        ...


class DriftMonitor(Protocol):
    """Watches whether a pipeline's input still looks like what its bundle knows."""

    def observe(self, images: Sequence[Observation]) -> None:
        """Take images in, in order; an alarm is logged once. Never stops a job."""
        ...
