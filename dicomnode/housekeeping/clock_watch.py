"""Finds out that somebody has moved the clock of the machine.

Quiet periods and leases end at times of the wall clock, because they are compared by
several processes and outlive each. When the clock leaps, everything that waits seems
over at once; those who judge by it rest until the others have renewed what is alive.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from dicomnode.ports import Clock

_log = structlog.get_logger(__name__)

LEAP_SECONDS = 2.0
"""More than this between two looks is no drift that a time server corrects."""


class ClockWatch:
    """Compares the wall clock with one that nobody can move.

    For one thread; ``monotonic`` gives seconds.
    """

    def __init__(
        self, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ahead = self._difference()
        self._moved_at: float | None = None

    def moved_within(self, seconds: float) -> bool:
        """Whether the clock has leapt, either way, in the last ``seconds``."""
        ahead = self._difference()
        leap, self._ahead = ahead - self._ahead, ahead
        if abs(leap) > LEAP_SECONDS:
            self._moved_at = self._monotonic()
            _log.warning("keep.clock_moved", seconds=round(leap, 1))
        moved_at = self._moved_at
        return moved_at is not None and self._monotonic() - moved_at < seconds

    def _difference(self) -> float:
        return self._clock.now().timestamp() - self._monotonic()
