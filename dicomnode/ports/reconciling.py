"""What reconcile needs of the worklist and of the stores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import BinaryIO, Protocol

from dicomnode.domain.instance import ReceivedInstance
from dicomnode.domain.reconciliation import (
    Discrepancy,
    FileFacts,
    Measure,
    Standing,
    StudyFacts,
    Sums,
)


class Ledger(Protocol):
    """The rows, page by page; a page after the last one is empty."""

    def check(self) -> None:
        """Look for damage in all of the database; raises WorklistError."""
        ...

    def studies(self, after: str, limit: int) -> Sequence[StudyFacts]:
        """Studies in the order of their UIDs, those after ``after``."""
        ...

    def conflicts(self) -> int:
        """Instances kept beside another one of the same UID."""
        ...

    def strays(self, limit: int) -> Sequence[Discrepancy]:
        """Rows that name a row which is not there."""
        ...

    def wrong_counts(self) -> Sequence[Discrepancy]:
        """Counts by state that the rows do not bear out."""
        ...

    def results(self) -> dict[Standing, int]:
        """How many results stand where."""
        ...

    def instance_files(self, after: tuple[str, int], limit: int) -> Sequence[FileFacts]:
        """Rows of instances whose file should be there, or is known to be missing."""
        ...

    def result_files(self, after: int, limit: int) -> Sequence[FileFacts]:
        """Rows of results whose file should be there, or is known to be missing."""
        ...

    def instance_file(self, location: str) -> FileFacts | None:
        """The row of an instance as it is now; None: it names no file any more."""
        ...

    def result_file(self, location: str) -> FileFacts | None:
        """The row of a result as it is now; None: it names no file any more."""
        ...

    def named(self, locations: Collection[str], *, results: bool) -> frozenset[str]:
        """Those of ``locations`` that a row of instances, or of results, names."""
        ...

    def record(self, started: datetime, finished: datetime, sums: Sums) -> None:
        """Keep the outcome, and an event of it."""
        ...


class Mender(Protocol):
    """The repairs that are safe; each leaves an event."""

    def register(self, instances: Sequence[ReceivedInstance]) -> None:
        """Record instances whose files were found, as if they had just come."""
        ...

    def mark_missing(self, location: str, why: str, now: datetime) -> None:
        """Note that the file of an instance is lost."""
        ...

    def mark_found(self, location: str, now: datetime) -> None:
        """Note that the file of an instance or result is there again."""
        ...

    def result_missing(self, location: str, now: datetime) -> None:
        """Run its job again if a result was not sent yet; otherwise mark it."""
        ...

    def result_removed(self, location: str, now: datetime) -> None:
        """An event for a file that no result names and that was removed."""
        ...

    def rerun(self, job_id: str, now: datetime) -> None:
        """COMPLETED -> SCHEDULED."""
        ...

    def route_again(self, study_instance_uid: str, now: datetime) -> None:
        """ROUTED without a job -> COMPLETE."""
        ...

    def give_back(self, now: datetime, max_attempts: int) -> None:
        """Jobs whose lease has ended -> SCHEDULED, or FAILED."""
        ...

    def count_again(self, now: datetime) -> None:
        """Make the counts by state right."""
        ...


class Stock(Protocol):
    """The files of a store, as they lie there."""

    def measure(self, location: str) -> Measure | None:
        """Size and time of a file; None if it is not there or is none of ours."""
        ...

    def digest(self, location: str) -> str:
        """SHA-256 of its data set as hex; raises FileNotFoundError."""
        ...

    def locations(self) -> Iterable[str]:
        """Every location, one after the other."""
        ...

    def open(self, location: str) -> BinaryIO:
        """The complete file; raises FileNotFoundError."""
        ...

    def delete(self, location: str) -> None:
        """Remove a file for good; no error if it is gone already."""
        ...


ReadHeader = Callable[[BinaryIO, str, str, int, datetime], ReceivedInstance]
"""(file, location, sha256, bytes of its data set, now) -> what to record.

Raises Unreadable.
"""
