"""The time, and the views of those who keep the worklist in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from dicomnode.domain.chore import ChoreRun
from dicomnode.domain.hosts import RoleProcess


class Clock(Protocol):
    """The time, as a parameter."""

    def now(self) -> datetime:
        """The current instant, aware, UTC."""
        ...


@dataclass(frozen=True, slots=True)
class EndedStudy:
    """A study of which nothing is left to do; ``ended_at``: when the last was done."""

    study_instance_uid: str
    ended_at: datetime
    routed_at: datetime


@dataclass(frozen=True, slots=True)
class ExpiredStudy:
    """A study whose files may go, with the locations of its instances and results."""

    study_instance_uid: str
    instance_locations: tuple[str, ...]
    result_locations: tuple[str, ...]


NodeEvent = Literal[
    "node role end",
    "node config take",
    "node config refuse",
    "alert send",
    "alert fail",
    "node quarantine empty",
]
"""A process ended unasked; a changed configuration is in force, or was not taken; a
channel of alerts has told something (its name comes first in the detail), or could not;
refused data sets were removed.
"""


class Upkeep(Protocol):
    """The view of housekeeping."""

    def reap(self, now: datetime, max_attempts: int) -> int:
        """Give back jobs whose lease has ended, FAIL them after too many; how many."""
        ...

    def ended(
        self, before: datetime, limit: int, after: EndedStudy | None = None
    ) -> Sequence[EndedStudy]:
        """Studies with files whose every job and delivery ended well before ``before``.

        In the order in which they were routed, those behind ``after``. A study that is
        waiting, stuck or failed anywhere is never among them.
        """
        ...

    def expired(self, study_instance_uid: str, before: datetime) -> ExpiredStudy | None:
        """The files of one of these studies; None: it is none of them any more."""
        ...

    def forget_files(self, study_instance_uid: str, now: datetime) -> None:
        """Note that the files of an expired study are gone; the rows stay.

        ``now``: before ``expired`` was asked. What has come since stays as it is.
        """
        ...

    def lead(self, holder: str, now: datetime, lease_seconds: float) -> bool:
        """Take or renew the one leader row of the schedulers; False: another leads."""
        ...

    def note(self, kind: NodeEvent, detail: str, now: datetime) -> None:
        """Leave an event about the node itself; ``detail`` holds nothing of a study."""
        ...

    def checkpoint(self) -> None:
        """Leave nothing in the log of the database (SQLite: WAL checkpoint)."""
        ...

    def fold_log(self) -> None:
        """The same as far as nobody has to wait for it; the log keeps its size."""
        ...

    def forget_workers(self, before: datetime) -> int:
        """Remove workers last heard of before then, but the last of all; how many."""
        ...

    def fold_counts(self) -> int:
        """Keep the counts by state short; how many rows became few."""
        ...


class Roles(Protocol):
    """The view of a process that says that it lives."""

    def beat(self, process: RoleProcess, now: datetime) -> None:
        """A sign of life; it takes the place of the silent ones of its host and role.

        What was silent for days is forgotten, wherever it was.
        """
        ...

    def leave(self, process: RoleProcess) -> None:
        """It ends in order: nobody need miss it."""
        ...


class ChoreRuns(Protocol):
    """The view of what housekeeping has done: the last run of each chore."""

    def enlist(
        self, every_seconds: Mapping[str, float], holder: str, now: datetime
    ) -> None:
        """From ``now`` on ``holder`` runs these chores, by name, and no others.

        What is known of a chore that was there before stays, with the time since when
        it is run if there was no pause (``domain.chore.goes_on``).
        """
        ...

    def ran(self, run: ChoreRun) -> None:
        """Note a run as the last one of its chore; one that is not enlisted is none."""
        ...
