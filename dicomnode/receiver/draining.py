"""A drained node takes no more instances; their senders keep them and try again."""

from __future__ import annotations

import time
from collections.abc import Callable

from dicomnode.errors import StoreFull
from dicomnode.ports import Pauses
from dicomnode.receiver.gated import GatedStore, StagingStore

LOOK_SECONDS = 1.0
"""How long an answer of the worklist is believed: no question for each C-STORE."""


class DrainingStore(GatedStore):
    """An InstanceStore that refuses to put while the node is drained."""

    def __init__(
        self,
        store: StagingStore,
        pauses: Pauses,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(store)
        self._pauses = pauses
        self._monotonic = monotonic
        self._draining = False
        self._looked_at = -LOOK_SECONDS

    def check(self) -> None:
        """Raise StoreFull while drained."""
        now = self._monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._draining, self._looked_at = self._pauses.draining(), now
        if self._draining:
            message = (
                "the node is drained and takes no more instances; `dicomnode resume` "
                "ends that, then send again"
            )
            raise StoreFull(message)
