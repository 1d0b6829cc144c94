"""A store that at times takes nothing more; everything else goes on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from datetime import datetime
from typing import BinaryIO, Protocol

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.ports import Buffer, Incoming, InstanceStore, Staging, Usage


class StagingStore(InstanceStore, Staging, Protocol):
    """Both ports: whole data sets, and data sets in pieces."""


class GatedStore(ABC):
    """Both ports, of another store; safe for many threads if ``check`` is."""

    def __init__(self, store: StagingStore) -> None:
        self._store = store

    @abstractmethod
    def check(self) -> None:
        """Raise StoreFull (0xA700) while nothing more is taken."""

    def stage(self, key: InstanceKey) -> Incoming:
        """See ``ports.Staging``; raises StoreFull."""
        self.check()
        return self._store.stage(key)

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        """See ``ports.InstanceStore``, as all below; raises StoreFull."""
        self.check()
        return self._store.put(key, chunks)

    def open(self, location: str) -> BinaryIO:
        """The complete file."""
        return self._store.open(location)

    def delete(self, location: str) -> None:
        """Remove a file for good."""
        self._store.delete(location)

    def usage(self) -> Usage:
        """Room left."""
        return self._store.usage()

    def locations(self) -> Iterable[str]:
        """Every location in the store."""
        return self._store.locations()

    def sweep(self, older_than: datetime) -> int:
        """Remove unfinished files."""
        return self._store.sweep(older_than)
