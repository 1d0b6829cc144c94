"""What has come of a study that we fetch ourselves, by C-GET or WADO-RS."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from dicomnode.domain.backfill import Brought, Retrieved, Taken
from dicomnode.ports import Taking

ALIVE_SECONDS = 5.0
"""How often a sign of life is given while instances come."""

_SUCCESS = 0x0000


class Bringing:
    """Counts the instances of one study as they are taken or refused."""

    def __init__(self, taking: Taking, alive: Callable[[], None]) -> None:
        self._taking = taking
        self._alive = alive
        self._told_at = monotonic()
        self._n_bytes = 0
        self._n_completed = self._n_failed = 0
        self._refused = ""

    def take(self, instance: Brought) -> Taken:
        """Keep one; what it is answered with."""
        taken = self._taking.take(instance, self._n_bytes)
        self._n_bytes += len(instance.data_set)
        if taken.status == _SUCCESS:
            self._n_completed += 1
        else:
            self.refused(taken.comment)
        self._live()
        return taken

    def refused(self, why: str) -> None:
        """One was not taken; the first reason is told."""
        self._n_failed += 1
        self._refused = self._refused or why

    def retrieved(self, status: int, n_failed: int = 0, why: str = "") -> Retrieved:
        """How it ended; ``n_failed`` as the archive counts, ``why`` as it says."""
        failed, came = max(n_failed, self._n_failed), self._n_completed
        if failed:
            cause = self._refused or why or "the archive could not send them"
            total = failed + came
            why = f"{failed} of {total} instances were not taken: {cause}"
        elif not came:
            why = why or "it has sent nothing; see its log"
        return Retrieved(status, came, failed, why=why)

    def _live(self) -> None:
        if monotonic() - self._told_at >= ALIVE_SECONDS:
            self._alive()
            self._told_at = monotonic()
