"""The small interfaces between rooms. Each has one contract test for all its adapters.

Rooms take what they need in their constructor; only ``processes`` knows the classes
behind it. All instants are aware UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from dicomnode.domain.association import Association, Refusal
from dicomnode.domain.commitment import Asked, Check, CommitmentAnswer, Unconfirmed
from dicomnode.domain.delivery import Delivery, NewResult, Outgoing, Sent
from dicomnode.domain.findings import (
    BundleFacts,
    ImageFindings,
    NotAnalysed,
    Observation,
)
from dicomnode.domain.instance import (
    Disposition,
    Instance,
    InstanceKey,
    ReceivedInstance,
    StoredInstance,
)
from dicomnode.domain.job import Job, NewJob, Outcome, Worker
from dicomnode.domain.result import KeptResult
from dicomnode.domain.study import Study

Buffer = bytes | bytearray | memoryview


class Clock(Protocol):
    """The time, as a parameter."""

    def now(self) -> datetime:
        """The current instant, aware, UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """Of the file system that holds the store."""

    total_bytes: int
    free_bytes: int

    @property
    def used_percent(self) -> float:
        """Share in use, 0 to 100."""
        return 100.0 * (1 - self.free_bytes / self.total_bytes)


class InstanceStore(Protocol):
    """Durable DICOM files (PS3.10), one for each instance and content."""

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        """Keep an encoded data set exactly as transmitted, under a file meta of ours.

        Returns only after file and folder are synced. The same content again gives the
        same location; other content under the same SOP Instance UID a second one.
        Raises StoreFull (no room, watermark reached), Unreadable (a UID that is none),
        ReceiveError (the disk failed).
        """
        ...

    def open(self, location: str) -> BinaryIO:
        """The complete file, for reading; raises FileNotFoundError."""
        ...

    def delete(self, location: str) -> None:
        """Remove a file for good; no error if it is gone already."""
        ...

    def usage(self) -> Usage:
        """Room left."""
        ...

    def locations(self) -> Iterable[str]:
        """Every location in the store, in no particular order."""
        ...

    def sweep(self, older_than: datetime) -> int:
        """Remove unfinished files last written before ``older_than``; how many."""
        ...


class Intake(Protocol):
    """The receiver's view of the worklist."""

    def record(self, instance: ReceivedInstance) -> Disposition:
        """Commit one instance; it is durable on return.

        NEW moves ``last_instance_at``; on a study that had left RECEIVING it opens the
        next revision and cancels jobs of older revisions that nobody has claimed.
        DUPLICATE (same SOP Instance UID, same sha256) changes nothing. CONFLICT (same
        SOP Instance UID, other sha256) is kept and flagged and changes nothing else.
        One of our own results (domain.ownership) coming back is recorded, opens no
        revision and moves no time of a study that is there already.
        Raises WorklistError when the database cannot commit.
        """
        ...

    def record_association(self, association: Association) -> None:
        """Note an accepted or refused association."""
        ...

    def record_refusal(self, refusal: Refusal) -> None:
        """Note a C-STORE that was not answered with Success (an event `refused`)."""
        ...


@dataclass(frozen=True, slots=True)
class KeptInstance:
    """What the worklist knows of an instance whose file is still kept."""

    sop_class_uid: str
    location: str


class Kept(Protocol):
    """Who answers for received instances when a modality asks (PS3.4 J)."""

    def kept(self, sop_instance_uids: Collection[str]) -> Mapping[str, KeptInstance]:
        """Those of the instances that are recorded, and not forgotten since."""
        ...


class Studies(Protocol):
    """The view of assembler and router."""

    def receiving(self) -> Sequence[Study]:
        """Studies in RECEIVING."""
        ...

    def complete(self, study: Study, now: datetime) -> bool:
        """RECEIVING -> COMPLETE; False when an instance came in the meantime."""
        ...

    def unrouted(self) -> Sequence[Study]:
        """Studies in COMPLETE."""
        ...

    def instances(self, study_instance_uid: str) -> Sequence[Instance]:
        """The current instances of a study (a flagged conflict is not among them)."""
        ...

    def route(
        self, study: Study, jobs: Sequence[NewJob], reason: str, now: datetime
    ) -> bool:
        """COMPLETE -> ROUTED with ``jobs``, or NOT_ROUTED with ``reason`` if none.

        One transaction. False when the study has moved on meanwhile.
        """
        ...


class Jobs(Protocol):
    """The worker's view of the worklist."""

    def claim(
        self,
        worker_id: str,
        pipelines: Collection[str],
        now: datetime,
        lease_seconds: float,
        limit: int = 1,
    ) -> Sequence[Job]:
        """SCHEDULED -> IN_PROGRESS, highest priority first, then the oldest."""
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
    ) -> None:
        """IN_PROGRESS -> COMPLETED with its results and their deliveries.

        One transaction; the same results again (a rerun) add nothing. Raises LostLease.
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


class Outbox(Protocol):
    """The view of delivery."""

    def due(
        self, destination: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[Delivery]:
        """Claim PENDING deliveries whose time has come, the oldest first.

        A claimed delivery is not given out again before its lease ends.
        """
        ...

    def sent(
        self,
        delivery: Delivery,
        status: int,
        now: datetime,
        check_at: datetime | None = None,
    ) -> None:
        """PENDING -> SENT with the DIMSE status (0x0000 or a warning).

        ``check_at``: when to find out whether the destination keeps it; None: never.
        """
        ...

    def postpone(
        self,
        delivery: Delivery,
        status: int | None,
        error: str,
        retry_at: datetime | None,
        now: datetime,
    ) -> None:
        """Count an attempt: PENDING until ``retry_at``, or FAILED if None."""
        ...

    def fall_back(self, delivery: Delivery, result: NewResult, now: datetime) -> None:
        """PENDING -> PENDING: ``result``, which is in the store, goes out instead."""
        ...

    def replace(self, delivery: Delivery, error: str, now: datetime) -> bool:
        """PENDING -> CANCELED if another result of the job carries the report there.

        False, and nothing has changed, if none does.
        """
        ...


class CommitmentAnswers(Protocol):
    """Who takes the answers of destinations, from whichever association."""

    def answer(self, answer: CommitmentAnswer, now: datetime) -> bool:
        """Note what a destination answers; False for a transaction we do not know.

        The same answer again changes nothing, and a promise counts however late it
        comes. A failure counts only while its transaction is the latest.
        """
        ...


class Commitments(CommitmentAnswers, Protocol):
    """The view of who finds out whether destinations keep what was sent to them."""

    def unconfirmed(
        self, destination: str, now: datetime, lease_seconds: float, limit: int
    ) -> Sequence[Unconfirmed]:
        """Claim SENT deliveries whose check is due, the longest waiting first."""
        ...

    def asked(self, asked: Asked, about: Sequence[Unconfirmed]) -> None:
        """Note a transaction before it is sent: its answer may overtake us."""
        ...

    def verified(
        self, one: Unconfirmed, then: Check | None, check_at: datetime, now: datetime
    ) -> None:
        """The destination shows it by C-FIND; ``then`` is checked at ``check_at``."""
        ...

    def recheck(
        self, one: Unconfirmed, then: Check | None, error: str, at: datetime
    ) -> None:
        """Nothing was found out, and that is no failure: ``then`` at ``at``."""
        ...

    def put_off(self, about: Sequence[Unconfirmed], error: str, at: datetime) -> None:
        """The destination cannot be reached: the same checks at ``at``."""
        ...

    def unanswered(
        self, one: Unconfirmed, error: str, check_at: datetime, now: datetime
    ) -> None:
        """Count a check in vain: ask again at ``check_at``."""
        ...

    def lost(
        self, one: Unconfirmed, error: str, retry_at: datetime | None, now: datetime
    ) -> None:
        """SENT -> PENDING until ``retry_at``, to be sent again; None: REJECTED."""
        ...


@dataclass(frozen=True, slots=True)
class ExpiredStudy:
    """A study whose files may go, with the locations of its instances and results."""

    study_instance_uid: str
    instance_locations: tuple[str, ...]
    result_locations: tuple[str, ...]


class Upkeep(Protocol):
    """The view of housekeeping."""

    def reap(self, now: datetime, max_attempts: int) -> int:
        """Give back jobs whose lease has ended, FAIL them after too many; how many."""
        ...

    def expired(self, before: datetime, limit: int) -> Sequence[ExpiredStudy]:
        """Studies whose every job and delivery ended well before ``before``.

        A study that is waiting, stuck or failed anywhere is never among them.
        """
        ...

    def forget_files(self, study_instance_uid: str, now: datetime) -> None:
        """Note that the files of an expired study are gone; the rows stay."""
        ...

    def lead(self, holder: str, now: datetime, lease_seconds: float) -> bool:
        """Take or renew the one leader row of the schedulers; False: another leads."""
        ...

    def checkpoint(self) -> None:
        """Let the database tidy its log (SQLite: WAL checkpoint)."""
        ...


class Desk(Protocol):
    """What an admin may change; each act is an event in the worklist."""

    def retry_job(self, job_id: str, now: datetime) -> None:
        """FAILED or CANCELED -> SCHEDULED with a fresh set of attempts.

        Raises UnknownStudy, IllegalTransition.
        """
        ...

    def retry_deliveries(self, job_id: str, now: datetime) -> int:
        """FAILED or REJECTED deliveries of a job -> PENDING; how many."""
        ...

    def reroute(self, study_instance_uid: str, now: datetime) -> None:
        """NOT_ROUTED -> COMPLETE: the router looks again, with today's rules.

        Raises UnknownStudy, IllegalTransition.
        """
        ...

    def force_complete(self, study_instance_uid: str, now: datetime) -> None:
        """Let a RECEIVING study complete now. Raises UnknownStudy."""
        ...


class Predictor(Protocol):
    """A warm network with its bundle."""

    def describe(self) -> BundleFacts:
        """What a report must say about the bundle."""
        ...

    def predict(
        self, images: Sequence[tuple[Instance, BinaryIO]]
    ) -> Sequence[ImageFindings | NotAnalysed]:
        """One answer for each image, in order.

        An image that cannot be decoded, or lies outside the model's domain, is
        NotAnalysed with its reason. Raises PredictionFailed.
        """
        ...


class DriftMonitor(Protocol):
    """Watches whether a pipeline's input still looks like what its bundle knows."""

    def observe(self, images: Sequence[Observation]) -> None:
        """Take images in, in order; an alarm is logged once. Never stops a job."""
        ...


class Sender(Protocol):
    """One destination's C-STORE SCU (or STOW-RS client)."""

    def send(self, instances: Sequence[Outgoing]) -> Sequence[Sent]:
        """Send over one association, in order; one answer for each.

        Raises Unreachable when no association came about.
        """
        ...

    def echo(self) -> float:
        """Verification (PS3.4 A): round-trip seconds; raises Unreachable, Refused."""
        ...
