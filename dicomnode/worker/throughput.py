"""How much a worker gets done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic

WINDOW_SECONDS = 3600.0


class Throughput:
    """Attempts that have ended: all, and those of the last hour."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._began_at = now()
        self._ended_at: deque[float] = deque()
        self.n_jobs = 0

    def note(self) -> None:
        """One more has ended."""
        self.n_jobs += 1
        self._ended_at.append(self._now())

    def per_hour(self) -> float:
        """Of the last hour, or of all the time if that is less."""
        now = self._now()
        while self._ended_at and now - self._ended_at[0] > WINDOW_SECONDS:
            self._ended_at.popleft()
        seconds = max(1.0, min(WINDOW_SECONDS, now - self._began_at))
        return round(len(self._ended_at) * 3600 / seconds, 1)
