"""Retry decisions: pure, so that every delay can be read off a test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta


def next_attempt_at(
    attempts: int, delays_seconds: Sequence[float], now: datetime
) -> datetime | None:
    """When to try again after ``attempts`` failed attempts; None: no more retries.

    The first delay follows the first failure; after as many failures as there are
    delays plus one the retries end.
    """
    if attempts < 1 or attempts > len(delays_seconds):
        return None
    return now + timedelta(seconds=delays_seconds[attempts - 1])
