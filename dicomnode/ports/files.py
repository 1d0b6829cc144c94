"""Where instances and results lie."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol, runtime_checkable

from dicomnode.domain.instance import InstanceKey, StoredInstance, Whereabouts

Buffer = bytes | bytearray | memoryview


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


class Spools(Protocol):
    """What the worklist knows of the files in the spools of the hosts."""

    def whereabouts(self, locations: Collection[str]) -> Mapping[str, Whereabouts]:
        """Of those that it knows; of a file whose row is to come it knows nothing."""
        ...

    def handed_over(self, locations: Collection[str]) -> None:
        """They are objects now, which every host can read."""
        ...


class Quarantine(Protocol):
    """Where refused data sets are kept for a look at them."""

    def empty(self, older_than: datetime) -> int:
        """Remove those that came before ``older_than`` for good; how many."""
        ...


class Incoming(Protocol):
    """A data set that arrives in pieces; used by one thread."""

    @property
    def n_bytes(self) -> int:
        """So far."""
        ...

    @property
    def head(self) -> memoryview:
        """The first bytes of the data set so far, which are in memory anyway."""
        ...

    def write(self, fragments: Sequence[Buffer]) -> None:
        """Append fragments. Raises StoreFull, ReceiveError; then nothing is left."""
        ...

    def content(self) -> AbstractContextManager[memoryview]:
        """The data set so far."""
        ...

    def keep(self, key: InstanceKey) -> StoredInstance:
        """What InstanceStore.put does with the whole; nothing is left to discard."""
        ...

    def set_aside(self) -> str:
        """Keep it, durably, where nothing is ever analysed; its name there."""
        ...

    def discard(self) -> None:
        """Leave nothing behind; no error after the others."""
        ...


@runtime_checkable
class Staging(Protocol):
    """A store that takes a data set in pieces, before its study is known."""

    def stage(self, key: InstanceKey) -> Incoming:
        """For the SOP Class, SOP Instance and transfer syntax of ``key``.

        Raises StoreFull, Unreadable, ReceiveError.
        """
        ...
