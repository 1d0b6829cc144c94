"""A destination that cannot be reached: everything for it waits for one next attempt.

An association that does not come about says nothing about any result. So the attempts
in vain are counted of the destination and never of a delivery, and one attempt with one
result tells for all that wait.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

LONGEST_SECONDS = 600.0
"""A destination that is back waits no longer to be noticed: one call costs nothing."""

_SECONDS_WITHOUT_DELAYS = 60.0


@dataclass(frozen=True, slots=True)
class Absence:
    """Since when, how often it was tried in vain, why, and when it is tried again."""

    destination: str
    began_at: datetime
    attempts: int
    next_attempt_at: datetime
    error: str


def again(
    before: Absence | None,
    destination: str,
    error: str,
    delays_seconds: Sequence[float],
    now: datetime,
) -> Absence:
    """The absence after one more attempt in vain.

    The delays are those of a delivery, LONGEST_SECONDS at most; the last repeats.
    """
    attempts = before.attempts + 1 if before else 1
    delays = delays_seconds or (_SECONDS_WITHOUT_DELAYS,)
    delay = delays[min(attempts, len(delays)) - 1]
    return Absence(
        destination=destination,
        began_at=before.began_at if before else now,
        attempts=attempts,
        next_attempt_at=now + timedelta(seconds=min(delay, LONGEST_SECONDS)),
        error=error,
    )
