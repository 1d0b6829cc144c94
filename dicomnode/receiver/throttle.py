"""Says the same thing once in a while, so that a flood of it fills no log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable

_MAX_KEYS = 1024


class Throttle:
    """Lets one of a kind pass in ``every_seconds``; safe for many threads."""

    def __init__(
        self,
        every_seconds: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._every_seconds = every_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._kept: dict[Hashable, tuple[float, int]] = {}

    def passes(self, key: Hashable) -> int | None:
        """How many were held back since the last that passed; None: this one too."""
        now = self._monotonic()
        with self._lock:
            if key not in self._kept and len(self._kept) >= _MAX_KEYS:
                # Dicts keep their order: the first is the one not heard of longest.
                del self._kept[next(iter(self._kept))]
            quiet_until, n_held = self._kept.pop(key, (now, 0))
            is_held = now < quiet_until
            until = quiet_until if is_held else now + self._every_seconds
            self._kept[key] = (until, n_held + 1 if is_held else 0)
        return None if is_held else n_held


class Allowance:
    """Lets ``most`` of each kind pass in ``every_seconds``; safe for many threads."""

    def __init__(
        self,
        most: int,
        every_seconds: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._every_seconds = every_seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._used: dict[Hashable, tuple[float, int]] = {}

    def allows(self, key: Hashable) -> bool:
        """Whether one more of this kind may pass; it counts if so."""
        now = self._monotonic()
        with self._lock:
            if key not in self._used and len(self._used) >= _MAX_KEYS:
                del self._used[next(iter(self._used))]
            until, n_used = self._used.pop(key, (now + self._every_seconds, 0))
            if now >= until:
                until, n_used = now + self._every_seconds, 0
            is_allowed = n_used < self._most
            self._used[key] = (until, n_used + is_allowed)
        return is_allowed
