"""One run of a chore of housekeeping."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

NOTED_SECONDS = 60.0
"""A run like the one before it is noted so often; anything new at once."""


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
