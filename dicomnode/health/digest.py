"""When to tell of alarms, and of which: changes at once, then one digest a period.

Pure. What a channel has been told is all that is remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dicomnode.health.alarms import Alarm


@dataclass(frozen=True, slots=True)
class Told:
    """What was said last, and when: how many were concerned, by key of the alarm."""

    numbers: Mapping[str, int] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Periods:
    """Between two messages at least; after which a standing alarm is said again.

    ``remind_seconds`` 0: never.
    """

    digest_seconds: float
    remind_seconds: float


@dataclass(frozen=True, slots=True)
class Digest:
    """One message: what is new or has grown, what stands as before, what is over."""

    raised: tuple[Alarm, ...] = ()
    standing: tuple[Alarm, ...] = ()
    cleared: tuple[str, ...] = ()

    @property
    def numbers(self) -> dict[str, int]:
        """What is told by it."""
        return {one.key: one.number for one in (*self.raised, *self.standing)}


def due(
    alarms: Sequence[Alarm], told: Told, now: datetime, periods: Periods
) -> Digest | None:
    """The message that is to be sent now; None if there is nothing to say yet."""
    before = told.numbers
    digest = Digest(
        raised=tuple(one for one in alarms if one.number > before.get(one.key, 0)),
        standing=tuple(one for one in alarms if one.number <= before.get(one.key, 0)),
        cleared=tuple(sorted(set(before) - {one.key for one in alarms})),
    )
    if told.at is None:
        return digest if digest.raised else None
    since = now - told.at
    if digest.raised or digest.cleared:
        return digest if since >= timedelta(seconds=periods.digest_seconds) else None
    again = periods.remind_seconds and since >= timedelta(
        seconds=periods.remind_seconds
    )
    return digest if alarms and again else None
