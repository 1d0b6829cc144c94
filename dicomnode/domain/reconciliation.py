"""Is everything accounted for? What became of a study, decided from its rows.

Pure: the rows are facts, the answer is a standing with its reason, or a discrepancy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from dicomnode.domain.delivery import DeliveryState
from dicomnode.domain.job import JobState, Outcome
from dicomnode.domain.study import StudyState

MOST_REASONS = 50
"""Reasons told apart in the sums; the rest is counted together."""


class Standing(StrEnum):
    """What became of an acknowledged instance, or of a result."""

    ANALYSED = "analysed"
    EXCLUDED = "excluded"
    FAILED = "failed"
    WAITING = "waiting"
    DELIVERED = "delivered"
    KEPT = "kept, not to be sent"


class Kind(StrEnum):
    """What may not be accounted for."""

    FILE_WITHOUT_ROW = "file without row"
    FILE_MISSING = "file missing"
    FILE_DAMAGED = "file damaged"
    FILE_FOUND = "missing file found again"
    RESULT_MISSING = "result file missing"
    RESULT_DAMAGED = "result file damaged"
    RESULT_WITHOUT_ROW = "result file without row"
    ROWS_LOST = "instances without row"
    NO_STUDY = "instance without study"
    NO_JOB = "routed study without job"
    NO_RESULT = "completed job without result"
    LEASE_ENDED = "lease ended long ago"
    STUDY_LOST = "job without study"
    WRONG_COUNT = "wrong count by state"


LOSSES = frozenset({Kind.FILE_MISSING, Kind.FILE_DAMAGED})
"""What can be noted and not repaired: only its source has the instance."""

_SEND_AGAIN = (
    "send the instance again from its source; `dicomnode reconcile --repair` marks it"
)
REMEDIES = {
    Kind.FILE_MISSING: _SEND_AGAIN,
    Kind.FILE_DAMAGED: _SEND_AGAIN,
    Kind.ROWS_LOST: "restore a backup with `dicomnode db restore`",
    Kind.NO_STUDY: "restore a backup with `dicomnode db restore`",
    Kind.STUDY_LOST: "restore a backup with `dicomnode db restore`",
}
REPAIR = "`dicomnode reconcile --repair`"


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Something that is not accounted for; ``subject`` is a UID, job or location."""

    kind: Kind
    subject: str
    detail: str = ""

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES.get(self.kind, REPAIR)


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A job of the current revision."""

    job_id: str
    state: JobState
    outcome: Outcome | None
    reason: str
    n_results: int
    lease_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """A study as its rows show it.

    ``n_counted``: instances that its current revision counts; ``n_rows``: rows of
    instances, our own results that came back among them.
    """

    study_instance_uid: str
    state: StudyState
    reason: str
    n_counted: int
    n_rows: int
    jobs: Sequence[JobFacts] = ()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A row that names a file; ``number`` orders results, ``marked``: known missing."""

    location: str
    sha256: str
    n_bytes: int | None
    since: datetime
    sop_instance_uid: str
    ordinal: int = 0
    number: int = 0
    marked: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """A file as it lies there: bytes of its data set, and when it was written."""

    n_bytes: int
    written_at: datetime


@dataclass(slots=True)
class Sums:
    """How many instances and results stand where; reasons apart."""

    instances: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    n_files: int = 0
    n_repaired: int = 0

    def add_study(self, facts: StudyFacts) -> None:
        """Count the instances of a study where they stand."""
        standing, reason = standing_of(facts)
        self.instances[standing] += min(facts.n_rows, facts.n_counted)
        self._exclude(reason, facts.n_counted if standing is Standing.EXCLUDED else 0)
        self.exclude("a result of this node that came back", own_results(facts))

    def exclude(self, reason: str, count: int) -> None:
        """Count instances that are not analysed, and why."""
        self.instances[Standing.EXCLUDED] += count
        self._exclude(reason, count)

    def _exclude(self, reason: str, count: int) -> None:
        if count:
            known = reason in self.reasons or len(self.reasons) < MOST_REASONS
            self.reasons[reason if known else "other reasons"] += count

    @property
    def n_found(self) -> int:
        """How many discrepancies."""
        return sum(self.found.values())

    @property
    def balanced(self) -> bool:
        """Whether everything is accounted for, after what was repaired."""
        return self.n_found == self.n_repaired

    def as_record(self) -> dict[str, object]:
        """The sums as plain values."""
        return {
            "instances": {str(key): n for key, n in self.instances.items() if n},
            "excluded": dict(self.reasons),
            "results": {str(key): n for key, n in self.results.items() if n},
            "found": {str(key): n for key, n in self.found.items() if n},
            "n_files": self.n_files,
        }


def standing_of(facts: StudyFacts) -> tuple[Standing, str]:
    """Where the instances of a study stand, and why they are not analysed."""
    if facts.state is StudyState.NOT_ROUTED:
        return Standing.EXCLUDED, facts.reason or "no rule wants it"
    if facts.state is not StudyState.ROUTED or not facts.jobs:
        return Standing.WAITING, ""
    return _standing_of_jobs(facts.jobs)


def _standing_of_jobs(jobs: Sequence[JobFacts]) -> tuple[Standing, str]:
    states = {job.state for job in jobs}
    if states & {JobState.SCHEDULED, JobState.IN_PROGRESS}:
        return Standing.WAITING, ""
    if any(job.outcome is Outcome.ANALYSED for job in jobs):
        return Standing.ANALYSED, ""
    if JobState.FAILED in states:
        return Standing.FAILED, ""
    reasons = dict.fromkeys(job.reason or str(job.state) for job in jobs)
    return Standing.EXCLUDED, "; ".join(reasons)


def own_results(facts: StudyFacts) -> int:
    """Rows that the study does not count: results of ours that a PACS sent back."""
    return max(0, facts.n_rows - facts.n_counted)


def in_study(facts: StudyFacts, before: datetime) -> Iterator[Discrepancy]:
    """What does not fit in the rows of one study; leases count up to ``before``."""
    uid = facts.study_instance_uid
    if facts.n_rows < facts.n_counted:
        detail = f"{facts.n_counted} were acknowledged, {facts.n_rows} rows are there"
        yield Discrepancy(Kind.ROWS_LOST, uid, detail)
    if facts.state is StudyState.ROUTED and not facts.jobs:
        yield Discrepancy(Kind.NO_JOB, uid)
    for job in facts.jobs:
        yield from _in_job(job, uid, before)


def _in_job(job: JobFacts, study: str, before: datetime) -> Iterator[Discrepancy]:
    if job.state is JobState.COMPLETED and not job.n_results:
        yield Discrepancy(Kind.NO_RESULT, job.job_id, f"of study {study}")
    lease = job.lease_expires_at
    if job.state is JobState.IN_PROGRESS and lease is not None and lease < before:
        yield Discrepancy(Kind.LEASE_ENDED, job.job_id, f"of study {study}")


def in_file(
    row: FileFacts, found: Measure | None, digest: str | None, *, result: bool = False
) -> Discrepancy | None:
    """What is wrong with the file that a row names; ``digest``: if it was read.

    Of a row that is marked as missing it must have been.
    """
    if row.marked:
        whole = found is not None and digest == row.sha256
        return Discrepancy(Kind.FILE_FOUND, row.location) if whole else None
    if found is None:
        kind = Kind.RESULT_MISSING if result else Kind.FILE_MISSING
        return Discrepancy(kind, row.location)
    wrong = ""
    if row.n_bytes is not None and found.n_bytes != row.n_bytes:
        wrong = f"{found.n_bytes} bytes instead of {row.n_bytes}"
    elif digest is not None and digest != row.sha256:
        wrong = "other content than was received"
    kind = Kind.RESULT_DAMAGED if result else Kind.FILE_DAMAGED
    return Discrepancy(kind, row.location, wrong) if wrong else None


def standing_of_result(states: Sequence[DeliveryState]) -> Standing:
    """Where a result stands, from the states of its deliveries."""
    found = set(states)
    if found & {DeliveryState.FAILED, DeliveryState.REJECTED}:
        return Standing.FAILED
    if DeliveryState.PENDING in found:
        return Standing.WAITING
    if found & {DeliveryState.SENT, DeliveryState.COMMITTED}:
        return Standing.DELIVERED
    return Standing.KEPT


def before_grace(now: datetime, grace_seconds: float) -> datetime:
    """What is younger than this may be work under way."""
    return now - timedelta(seconds=grace_seconds)
