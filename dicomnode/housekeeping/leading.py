"""Which of several keepers leads: its lease is renewed beside the chores.

Not before each of them: it is a commit, and studies wait to be completed and routed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread

import structlog

from dicomnode.errors import WorklistError
from dicomnode.ports import Clock, Upkeep

_log = structlog.get_logger(__name__)

_RENEWALS = 5
"""In the time of a lease, so that some of them may fail."""


class Leading:
    """The lead of ``holder``, for ``lease_seconds`` at a time; from any thread."""

    def __init__(
        self, upkeep: Upkeep, clock: Clock, holder: str, lease_seconds: float
    ) -> None:
        self._upkeep = upkeep
        self._clock = clock
        self._holder = holder
        self._lease_seconds = lease_seconds
        self._sure_until: datetime | None = None

    def __call__(self) -> bool:
        """Whether this process leads; asks the worklist only where it is not sure.

        It is for half of a lease: the clock of another host may be ahead of ours.
        Raises WorklistError.
        """
        sure_until = self._sure_until
        if sure_until is not None and self._clock.now() < sure_until:
            return True
        return self.take()

    def take(self) -> bool:
        """Take or renew the lease; False: another leads. Raises WorklistError."""
        now = self._clock.now()
        leads = self._upkeep.lead(self._holder, now, self._lease_seconds)
        half = timedelta(seconds=self._lease_seconds / 2)
        self._sure_until = now + half if leads else None
        return leads

    @contextmanager
    def renewing(self) -> Iterator[None]:
        """While this lasts a leader stays one, whatever its chores are doing."""
        ended = Event()
        thread = Thread(target=self._renew, args=(ended,), name="lead", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _renew(self, ended: Event) -> None:
        while not ended.wait(self._lease_seconds / _RENEWALS):
            # Who does not lead asks with every chore that is due.
            if self._sure_until is not None:
                self._try_to_renew()

    def _try_to_renew(self) -> None:
        try:
            self.take()
        except WorklistError as error:
            _log.warning("keeper.lease_not_renewed", error=str(error))
