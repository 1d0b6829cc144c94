"""Looks, and tells each channel what it has not been told yet.

What was told is in the event that says so, so whoever leads next goes on from there.
A channel that fails harms nothing: it is an event and a problem of `status`, and is
tried again at the next look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from dicomnode.errors import AlertError
from dicomnode.health.alarms import Alarm
from dicomnode.health.digest import Digest, Periods, Told, due
from dicomnode.health.moments import moment
from dicomnode.ports import Clock, NodeEvent

_log = structlog.get_logger(__name__)

SAY_AGAIN = timedelta(hours=1)
"""A channel that goes on failing is noted so often."""

_OWN = "alert-channel"
_RECENT = 20


class Channel(Protocol):
    """A way to people."""

    name: str

    def send(self, digest: Digest, now: datetime) -> None:
        """Tell them; raises AlertError."""
        ...


class Notes(Protocol):
    """Where it is written down who was told what."""

    def note(self, kind: NodeEvent, detail: str, now: datetime) -> None:
        """Leave an event."""
        ...


class Remembered(Protocol):
    """Where it is read again."""

    def node_events(self, kind: str, limit: int = 1) -> list[dict[str, Any]]:
        """Events of that kind, the newest first."""
        ...


class Alerts:
    """One look and what follows from it, again and again."""

    def __init__(
        self,
        look: Callable[[], Sequence[Alarm]],
        channels: Sequence[Channel],
        notes: Notes,
        remembered: Remembered,
        clock: Clock,
        periods: Periods,
    ) -> None:
        self._look = look
        self._channels = channels
        self._notes = notes
        self._remembered = remembered
        self._clock = clock
        self._periods = periods
        self._before: Mapping[str, Alarm] = {}
        self._failed: dict[str, datetime] = {}

    def run_once(self) -> int:
        """How many channels were told something."""
        found = {one.key: one for one in self._look()}
        told = self._told()
        number = sum(
            self._tell(one, found, told.get(one.name, Told())) for one in self._channels
        )
        self._before = found
        return number

    def _told(self) -> dict[str, Told]:
        """What each channel was told last."""
        found: dict[str, Told] = {}
        for row in reversed(self._remembered.node_events("alert send", _RECENT)):
            channel, _, numbers = str(row["detail"]).partition(" ")
            found[channel] = Told(json.loads(numbers), moment(row["at"]))
        return found

    def _tell(self, channel: Channel, found: Mapping[str, Alarm], told: Told) -> bool:
        now = self._clock.now()
        digest = due(self._settled(channel, found, told), told, now, self._periods)
        if digest is None:
            return False
        try:
            channel.send(digest, now)
        except AlertError as error:
            self._note_failure(channel, str(error), now)
            return False
        self._failed.pop(channel.name, None)
        numbers = json.dumps(digest.numbers)
        self._notes.note("alert send", f"{channel.name} {numbers}", now)
        return True

    def _settled(
        self, channel: Channel, found: Mapping[str, Alarm], told: Told
    ) -> list[Alarm]:
        """What lasts: to be raised or over, an alarm must be so in two looks running.

        What is over by the next look was nothing: a restart, a worker that loads.
        """
        # That the channel fails itself is over when it can say so.
        own = f"{_OWN}:{channel.name}"
        either = {**self._before, **found}
        return [
            alarm
            for key, alarm in either.items()
            if key != own
            and (key in told.numbers or (key in found and key in self._before))
        ]

    def _note_failure(self, channel: Channel, error: str, now: datetime) -> None:
        said = self._failed.get(channel.name)
        if said is None or now - said >= SAY_AGAIN:
            self._failed[channel.name] = now
            _log.warning("alert.not_sent", error=error)
            self._notes.note("alert fail", f"{channel.name} {error}", now)
