"""One run of a chore of housekeeping."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

NOTED_SECONDS = 60.0
"""A run like the one before it is noted so often; anything new at once."""

_PAUSE_SECONDS = 3 * NOTED_SECONDS


@dataclass(frozen=True, slots=True)
class ChoreRun:
    """When it was, how many things it did; ``error`` is empty if it went well.

    ``error`` ends with its remedy and names no patient.
    """

    name: str
    began_at: datetime
    ended_at: datetime
    n_done: int = 0
    error: str = ""


def goes_on(last_ended_at: datetime | None, now: datetime) -> bool:
    """Whether a keeper that begins follows another one without a pause.

    Then what is due is not put off: a keeper that is started afresh every half hour
    would else never be seen to leave out what is due every hour.
    """
    if last_ended_at is None:
        return False
    return (now - last_ended_at).total_seconds() <= _PAUSE_SECONDS
