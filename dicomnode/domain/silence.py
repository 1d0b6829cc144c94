"""How long a sender has been silent, counted in the hours in which it works."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(?:([a-z]{3})(?:-([a-z]{3}))? )?(\d\d:\d\d)-(\d\d:\d\d)")


@dataclass(frozen=True, slots=True)
class Hours:
    """Working hours, in local time: ``days`` (0 is Monday), ``opens``, ``closes``."""

    days: frozenset[int]
    opens: time
    closes: time


def parsed(text: str) -> Hours | None:
    """``mon-fri 07:00-19:00``, ``sat 08:00-12:00``, ``07:00-19:00``; None for always.

    Raises ValueError with a remedy.
    """
    if not text:
        return None
    found = _HOURS.fullmatch(text.strip().lower())
    hours = _hours(*found.groups()) if found else None
    if hours is None or not hours.days or hours.opens >= hours.closes:
        raise ValueError("is no span of hours; write for example mon-fri 07:00-19:00")
    return hours


def _hours(
    first: str | None, last: str | None, opens: str, closes: str
) -> Hours | None:
    try:
        begin = DAYS.index(first) if first else 0
        end = DAYS.index(last or first or DAYS[-1])
        days = frozenset(range(begin, end + 1))
        return Hours(days, time.fromisoformat(opens), time.fromisoformat(closes))
    except ValueError:
        return None


def silent_seconds(
    last_at: datetime, now: datetime, hours: Hours | None, zone: tzinfo | None = None
) -> float:
    """Seconds of working hours between two aware moments; without hours, all of them.

    zone: of the hours; None is the zone of this machine.
    """
    if hours is None:
        return max(0.0, (now - last_at).total_seconds())
    begin, end = last_at.astimezone(zone), now.astimezone(zone)
    total, day = 0.0, begin.date()
    while day <= end.date():
        if day.weekday() in hours.days:
            opens = max(begin, _moment(day, hours.opens, zone))
            closes = min(end, _moment(day, hours.closes, zone))
            total += max(0.0, (closes - opens).total_seconds())
        day += timedelta(days=1)
    return total


def _moment(day: date, at: time, zone: tzinfo | None) -> datetime:
    # Without a zone the system's rules for that day hold, summer time among them.
    return datetime.combine(day, at, zone).astimezone(zone)
