"""A store that takes nothing more while too much work waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import structlog

from dicomnode.errors import StoreFull, WorklistError
from dicomnode.receiver.gated import GatedStore, StagingStore

_LOG = structlog.get_logger(__name__)
_LOOK_SECONDS = 1.0


class BacklogLimit(GatedStore):
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
        super().__init__(store)
        self._n_waiting = n_waiting
        self._limit = limit
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._look_at = monotonic()
        self._seen = 0

    def check(self) -> None:
        """Raise StoreFull when too many wait."""
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
