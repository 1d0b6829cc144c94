"""The views of a backfill: the archive it asks, and the rows it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from dicomnode.domain.backfill import (
    Backfill,
    BackfillStudy,
    Brought,
    FoundStudy,
    NewBackfill,
    Retrieved,
    RunState,
    Standing,
    Taken,
)


class Archive(Protocol):
    """A PACS that is asked for what it has (PS3.4 C, PS3.18 10)."""

    def find(self, query: Mapping[str, str]) -> Iterator[FoundStudy]:
        """What matches at study level, as the answers come.

        Raises Unreachable, Refused.
        """
        ...

    def retrieve(self, study_instance_uid: str, alive: Callable[[], None]) -> Retrieved:
        """Bring a study here; ``alive`` is called now and then meanwhile.

        Raises Unreachable when no answer came, or none to its end.
        """
        ...


class Taking(Protocol):
    """Takes what we have fetched as the receiver takes a C-STORE."""

    def take(self, instance: Brought, n_bytes_before: int) -> Taken:
        """Success only when it is on disk, synced and recorded; never raises.

        ``n_bytes_before``: of data sets that came with the same study already.
        """
        ...


class Backfills(Protocol):
    """The rows of backfills. Of two processes on one, only the latest goes on."""

    def start(self, new: NewBackfill, holder: str, now: datetime, by: str) -> Backfill:
        """Note a new backfill, RUNNING."""
        ...

    def take(self, backfill_id: str, holder: str, now: datetime, by: str) -> Backfill:
        """Go on with one that has ended; what has failed is FOUND again.

        Raises UnknownStudy when there is none of this id.
        """
        ...

    def add(self, backfill_id: str, found: Sequence[FoundStudy]) -> int:
        """Keep studies that were found; how many are new."""
        ...

    def all_found(self, backfill_id: str, now: datetime) -> None:
        """The archive has told everything."""
        ...

    def still_ours(self, backfill_id: str, holder: str, now: datetime) -> bool:
        """A sign of life; False: someone has asked it to stop, or has taken it over."""
        ...

    def next(self, backfill_id: str) -> BackfillStudy | None:
        """The next study to ask for."""
        ...

    def received(self, backfill_id: str) -> Sequence[BackfillStudy]:
        """Studies that came and whose end is not known."""
        ...

    def move(
        self,
        backfill_id: str,
        study: BackfillStudy,
        event: str,
        why: str,
        now: datetime,
    ) -> BackfillStudy:
        """One arrow of ``BACKFILL_STATES``; the study as it is now."""
        ...

    def end(
        self, backfill_id: str, holder: str, state: RunState, detail: str, now: datetime
    ) -> None:
        """The process is done with it, unless another has taken it over."""
        ...

    def stop(self, backfill_id: str, now: datetime, by: str) -> bool:
        """Ask it to stop; False: it does not run. Raises UnknownStudy."""
        ...

    def pause(self, backfill_id: str, now: datetime, by: str) -> bool:
        """Let it ask for nothing until it goes on; False: it is paused, or has ended.

        Raises UnknownStudy.
        """
        ...

    def go_on(self, backfill_id: str, now: datetime, by: str) -> bool:
        """End its pause; False: it had none. Raises UnknownStudy."""
        ...

    def is_paused(self, backfill_id: str) -> bool:
        """Whether it is to ask for nothing now."""
        ...

    def standing(self, study_instance_uid: str) -> Standing:
        """What the node has of a study."""
        ...

    def n_waiting(self) -> int:
        """Jobs of backfilled studies that wait for a worker."""
        ...
