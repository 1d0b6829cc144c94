"""Is a chore of the keeper well? Pure: from the rows of v1_chores."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dicomnode.domain.chore import NOTED_SECONDS
from dicomnode.health.moments import moment

TIMES = 3
"""So many intervals without a run are too many."""

Row = Mapping[str, Any]


def failing(row: Row) -> bool:
    """Whether the last run failed; it is tried again when it is due."""
    return bool(row["failed_at"]) and bool(row["failed_at"] == row["ended_at"])


def overdue(row: Row, now: datetime) -> bool:
    """Whether it has not run for three times its interval although a keeper leads.

    What comes often is noted less often, which counts as its interval.
    """
    led_until = row["led_until"]
    if led_until is None or moment(led_until) <= now:
        return False
    interval: float = max(row["every_seconds"], NOTED_SECONDS)
    return (now - last_turn(row)).total_seconds() > TIMES * interval


def last_turn(row: Row) -> datetime:
    """The end of its last run, or when its keeper took it on, if that is later."""
    return max(moment(at) for at in (row["ended_at"], row["enlisted_at"]) if at)


def seconds_since_success(row: Row, now: datetime) -> float:
    """How long ago it went well; if it never did, since its keeper took it on."""
    since = row["succeeded_at"] or row["enlisted_at"]
    return max(0.0, (now - moment(since)).total_seconds())


def told(row: Row, now: datetime) -> dict[str, Any]:
    """The row, and what to make of it."""
    return {**row, "failing": failing(row), "overdue": overdue(row, now)}
