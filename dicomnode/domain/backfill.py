"""An archive's history through the same queue: what is found, asked for, and ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from dicomnode.domain.job import JobState, Outcome
from dicomnode.domain.machine import Arrow, StateMachine
from dicomnode.domain.study import StudyState

BACKFILL_PRIORITY = -1_000_000_000
"""What a job of a backfilled study has less than any other: live work passes it."""

LEAST_PRIORITY = -(2**31)


class BackfillState(StrEnum):
    """One study of a backfill."""

    FOUND = "FOUND"
    ASKED = "ASKED"
    RECEIVED = "RECEIVED"
    ANALYSED = "ANALYSED"
    SKIPPED = "SKIPPED"
    FAILED = "FAILED"


_FOUND, _ASKED, _RECEIVED = (
    BackfillState.FOUND,
    BackfillState.ASKED,
    BackfillState.RECEIVED,
)
_ANALYSED, _SKIPPED, _FAILED = (
    BackfillState.ANALYSED,
    BackfillState.SKIPPED,
    BackfillState.FAILED,
)

BACKFILL_STATES = StateMachine(
    "backfill",
    (
        Arrow(_FOUND, "ask", _ASKED, "backfill"),
        Arrow(_FOUND, "skip", _SKIPPED, "backfill"),
        Arrow(_ASKED, "receive", _RECEIVED, "backfill"),
        # The archive went away, or the backfill ended in the middle of it.
        Arrow(_ASKED, "put back", _FOUND, "backfill"),
        Arrow(_ASKED, "fail", _FAILED, "backfill"),
        Arrow(_RECEIVED, "analyse", _ANALYSED, "backfill"),
        Arrow(_RECEIVED, "skip", _SKIPPED, "backfill"),
        Arrow(_RECEIVED, "fail", _FAILED, "backfill"),
        # It is resumed: what has failed gets another try.
        Arrow(_FAILED, "retry", _FOUND, "admin"),
    ),
)

IN_FLIGHT = (BackfillState.ASKED, BackfillState.RECEIVED)
"""Asked for, and not yet done with."""


class RunState(StrEnum):
    """A backfill as a whole; one that ended without a word is still RUNNING."""

    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    COMPLETED = "COMPLETED"


@dataclass(frozen=True, slots=True)
class FoundStudy:
    """A study of the archive; ``n_instances`` as it says, None if it does not."""

    study_instance_uid: str
    n_instances: int | None = None


@dataclass(frozen=True, slots=True)
class Retrieved:
    """How a C-MOVE or C-GET ended (PS3.4 C.4.2.1.5): sub-operations, final status.

    ``why``: what went wrong, with its remedy; "": nothing, or the status says it all.
    """

    status: int
    n_completed: int = 0
    n_failed: int = 0
    n_warning: int = 0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Brought:
    """An instance that we have fetched: its data set as it lies in the archive."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Taken:
    """The status of a C-STORE (PS3.4 Table B.2-1), and why it is not Success.

    ``short_comment``: for the wire (PS3.7 C, Error Comment).
    """

    status: int
    comment: str = ""
    short_comment: str = ""


@dataclass(frozen=True, slots=True)
class NewBackfill:
    """What is asked for; ``query`` may name a patient and is never logged."""

    backfill_id: str
    archive: str
    query: Mapping[str, str]
    limit: int = 0
    """Studies at most; 0 is no limit."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """One that is under way; ``found_at`` is None until all its studies are found."""

    backfill_id: str
    archive: str
    query: Mapping[str, str]
    limit: int
    found_at: datetime | None


@dataclass(frozen=True, slots=True)
class BackfillStudy:
    """A study of a backfill, and how often it was asked for."""

    study_instance_uid: str
    n_instances: int | None
    state: BackfillState
    attempts: int


@dataclass(frozen=True, slots=True)
class JobStanding:
    """A job of the current revision; ``settled``: no other job will follow it."""

    pipeline: str
    state: JobState
    outcome: Outcome | None
    why: str
    settled: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What the node has of a study now; ``state`` None: nothing."""

    state: StudyState | None
    reason: str = ""
    n_instances: int = 0
    jobs: tuple[JobStanding, ...] = ()


Verdict = tuple[str, str]
"""An event of ``BACKFILL_STATES`` and why; ("", "") is nothing yet."""

NOTHING: Verdict = ("", "")


def before_asking(standing: Standing) -> Verdict:
    """Whether the node is done with a study that has not been asked for."""
    if standing.state is not StudyState.ROUTED or not standing.jobs:
        return NOTHING
    done = [one for one in standing.jobs if one.state is JobState.COMPLETED]
    if len(done) < len(standing.jobs):
        return NOTHING
    names = ", ".join(sorted(one.pipeline for one in done))
    return "skip", f"the node has analysed it already ({names})"


def after_receiving(standing: Standing) -> Verdict:
    """What has become of a study since it came."""
    if standing.state is StudyState.NOT_ROUTED:
        return "skip", standing.reason
    if standing.state is not StudyState.ROUTED:
        return NOTHING
    ended = [one for one in standing.jobs if _has_ended(one)]
    if len(ended) < len(standing.jobs):
        return NOTHING
    for one in ended:
        if one.state is not JobState.COMPLETED:
            return "fail", f"pipeline {one.pipeline} {one.state}: {one.why}"
    silent = [one for one in ended if one.outcome is Outcome.NOT_ANALYSED]
    return "analyse", "; ".join(f"{one.pipeline}: {one.why}" for one in silent)


def _has_ended(job: JobStanding) -> bool:
    if job.state is JobState.COMPLETED:
        return job.settled
    return job.state in (JobState.FAILED, JobState.CANCELED)


def lowered(priority: int) -> int:
    """The priority of a job whose study was backfilled."""
    return max(LEAST_PRIORITY, priority + BACKFILL_PRIORITY)


def daily(query: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The query, one for each day where it names first and last day (PS3.4 C.2.2.2.5).

    Archives answer with a limited number of studies; a day's seldom goes beyond it.
    """
    first, dash, last = query.get("StudyDate", "").partition("-")
    if not (dash and first and last):
        yield dict(query)
        return
    day, end = _day(first), _day(last)
    while day <= end:
        yield {**query, "StudyDate": f"{day:%Y%m%d}"}
        day += timedelta(days=1)


def _day(text: str) -> date:
    """Raises ValueError for what is no DA (PS3.5 6.2)."""
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
