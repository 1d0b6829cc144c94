"""The time, and the views of those who keep the worklist in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time, as a parameter."""

    def now(self) -> datetime:
        """The current instant, aware, UTC."""
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

    def note_role_end(self, role: str, about: str, now: datetime) -> None:
        """Leave the event "node role end": a process of the node ended unasked."""
        ...

    def checkpoint(self) -> None:
        """Leave nothing in the log of the database (SQLite: WAL checkpoint)."""
        ...

    def fold_log(self) -> None:
        """The same as far as nobody has to wait for it; the log keeps its size."""
        ...
