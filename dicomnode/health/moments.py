"""Moments and durations, as people write and read them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SCALE = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def since(text: str, now: datetime) -> datetime:
    """``10m``, ``1h``, ``2d``, ``today`` or an ISO 8601 date or time, as aware UTC.

    A time without zone is local time. Raises ValueError with a remedy.
    """
    words = text.strip().lower()
    if words == "today":
        midnight = {"hour": 0, "minute": 0, "second": 0, "microsecond": 0}
        return now.astimezone().replace(**midnight).astimezone(UTC)  # type: ignore[arg-type]
    try:
        if duration := _DURATION.fullmatch(words):
            return now - timedelta(**{_UNITS[duration[2]]: float(duration[1])})
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{text!r} is no time; write 10m, 1h, 2d, today or 2026-01-31T08:00"
        raise ValueError(message) from None


def moment(value: object) -> datetime:
    """A time of the views, as aware UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return datetime.fromisoformat(str(value)).astimezone(UTC)


def age(value: object, now: datetime) -> str:
    """How long ago a time of the views was: ``3 s``, ``5 min``, ``2 h``, ``4 d``."""
    seconds = max(0.0, (now - moment(value)).total_seconds())
    unit, name = next((pair for pair in _SCALE if seconds >= pair[0]), _SCALE[-1])
    return f"{seconds / unit:.0f} {name}"
