"""A drained node takes no more instances; their senders keep them and try again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import BinaryIO

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.errors import StoreFull
from dicomnode.ports import Buffer, Incoming, Pauses, Usage
from dicomnode.receiver.backlog import StagingStore

LOOK_SECONDS = 1.0
"""How long an answer of the worklist is believed: no question for each C-STORE."""


class DrainingStore:
    """An InstanceStore that refuses to put while the node is drained."""

    def __init__(
        self,
        store: StagingStore,
        pauses: Pauses,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._pauses = pauses
        self._monotonic = monotonic
        self._draining = False
        self._looked_at = -LOOK_SECONDS

    def stage(self, key: InstanceKey) -> Incoming:
        """Begin a data set that arrives in pieces; raises StoreFull while drained."""
        self._check()
        return self._store.stage(key)

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        """Keep a data set durably; raises StoreFull (0xA700) while drained."""
        self._check()
        return self._store.put(key, chunks)

    def open(self, location: str) -> BinaryIO:
        """The complete file, for reading; raises FileNotFoundError."""
        return self._store.open(location)

    def delete(self, location: str) -> None:
        """Remove a file for good; no error if it is gone already."""
        self._store.delete(location)

    def usage(self) -> Usage:
        """Room left."""
        return self._store.usage()

    def locations(self) -> Iterable[str]:
        """Every location in the store, in no particular order."""
        return self._store.locations()

    def sweep(self, older_than: datetime) -> int:
        """Remove unfinished files last written before ``older_than``; how many."""
        return self._store.sweep(older_than)

    def _check(self) -> None:
        now = self._monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._draining, self._looked_at = self._pauses.draining(), now
        if self._draining:
            message = (
                "the node is drained and takes no more instances; `dicomnode resume` "
                "ends that, then send again"
            )
            raise StoreFull(message)
