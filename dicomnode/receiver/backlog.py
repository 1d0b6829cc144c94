"""A store that takes nothing more while too much work waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import BinaryIO, Protocol

import structlog

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.errors import StoreFull, WorklistError
from dicomnode.ports import Buffer, Incoming, InstanceStore, Staging, Usage

_LOG = structlog.get_logger(__name__)
_LOOK_SECONDS = 1.0


class StagingStore(InstanceStore, Staging, Protocol):
    """Both ports: whole data sets, and data sets in pieces."""


class BacklogLimit:
    """Refuses with 0xA700 while ``n_waiting`` is ``limit`` or more.

    ``n_waiting`` is asked once a second at most; safe for many threads.
    """

    def __init__(
        self,
        store: StagingStore,
        n_waiting: Callable[[], int],
        limit: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._n_waiting = n_waiting
        self._limit = limit
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._look_at = monotonic()
        self._seen = 0

    def stage(self, key: InstanceKey) -> Incoming:
        """See ``ports.Staging``."""
        self._check()
        return self._store.stage(key)

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        """See ``ports.InstanceStore``, as all below."""
        self._check()
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

    def _check(self) -> None:
        n_waiting = self._latest()
        if n_waiting >= self._limit:
            message = (
                f"{n_waiting} jobs wait and the limit is {self._limit}; see with "
                "`dicomnode status` why the worker is behind, or raise "
                "receiver.max_waiting_jobs"
            )
            raise StoreFull(message)

    def _latest(self) -> int:
        with self._lock:
            if self._monotonic() >= self._look_at:
                self._look_at = self._monotonic() + _LOOK_SECONDS
                try:
                    self._seen = self._n_waiting()
                except WorklistError as error:
                    # Whoever records the instance will say so to the sender.
                    _LOG.warning("receiver.backlog_unknown", error=str(error))
            return self._seen
