"""The retention of what was refused: nothing stays for ever because nobody looked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from dicomnode.ports import Clock, Quarantine, Upkeep


class QuarantineKeeper:
    """Removes refused data sets after ``keep_days``; 0 keeps them.

    ``tell`` is given what was removed, for the audit trail.
    """

    def __init__(
        self,
        quarantine: Quarantine,
        upkeep: Upkeep,
        clock: Clock,
        keep_days: float,
        tell: Callable[[str], None] = lambda _what: None,
    ) -> None:
        self._quarantine = quarantine
        self._upkeep = upkeep
        self._clock = clock
        self._keep_days = keep_days
        self._tell = tell

    def run_once(self) -> int:
        """How many were removed; an event says so."""
        if not self._keep_days:
            return 0
        return self.empty(self._keep_days, "retention.quarantine_days")

    def empty(self, keep_days: float, why: str) -> int:
        """Remove those older than ``keep_days``, for the reason ``why``."""
        now = self._clock.now()
        removed = self._quarantine.empty(now - timedelta(days=keep_days))
        if removed:
            what = f"{removed} refused data set(s) removed: {why}"
            self._upkeep.note("node quarantine empty", what, now)
            self._tell(what)
        return removed
