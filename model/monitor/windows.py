"""The windows of one pipeline as they run: feed images, get alarms, keep the state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from model.monitor.reference import WINDOW, Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STATE_VERSION = 1
OUTSIDE, UNDETERMINED = "rate of images outside the domain", "rate of undetermined"
_MOST_STREAMS = 64


@dataclass(frozen=True)
class Observed:
    """One image in service: watched values, and how the answer came out."""

    values: Mapping[str, float]
    outside: bool = False
    undetermined: bool = False


@dataclass(frozen=True)
class Alarm:
    """A watched value of one stream that has left home: what, how far, the limit."""

    stream: str
    what: str
    measure: str
    value: float
    limit: float


@dataclass
class Stream:
    """One running window, with what the window before exceeded and what alarms."""

    window: list[Observed] = field(default_factory=list)
    n_images: int = 0
    n_windows: int = 0
    exceeded: frozenset[str] = frozenset()
    alarms: dict[str, Alarm] = field(default_factory=dict)


class Monitor:
    """Windows of one pipeline: all images together, and each station's.

    `digest` names the model; a state of another model starts anew.
    """

    def __init__(self, reference: Reference, digest: str) -> None:
        self._reference = reference
        self._digest = digest
        self.streams: dict[str, Stream] = {}

    def observe(self, station: str, image: Observed) -> list[Alarm]:
        """Take one image in; returns alarms that begin with it, usually none.

        station: a name of the machine, "" if unknown; never of a person.
        """
        names = ["all", *([f"station {station}"] if station else [])]
        return [alarm for name in names for alarm in self._feed(name, image)]

    @property
    def alarms(self) -> list[Alarm]:
        """What alarms now, in every stream."""
        return [one for s in self.streams.values() for one in s.alarms.values()]

    def _feed(self, name: str, image: Observed) -> list[Alarm]:
        if name not in self.streams and len(self.streams) >= _MOST_STREAMS:
            return []
        stream = self.streams.setdefault(name, Stream())
        stream.window.append(image)
        stream.n_images += 1
        if len(stream.window) < WINDOW:
            return []
        return _close(stream, name, self._reference)

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON; `alarms` is for people."""
        return {
            "version": STATE_VERSION,
            "digest": self._digest,
            "alarms": [vars(alarm) for alarm in self.alarms],
            "streams": {name: _stream_dict(s) for name, s in self.streams.items()},
        }

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on from a stored state; one of another model or version is dropped."""
        same = (stored.get("version"), stored.get("digest"))
        if same == (STATE_VERSION, self._digest):
            streams = stored["streams"].items()
            self.streams = {name: _stream(one) for name, one in streams}


def _close(stream: Stream, name: str, reference: Reference) -> list[Alarm]:
    """End a window: what it exceeds alarms if the one before exceeded it too."""
    found = {f"{a.what} {a.measure}": a for a in _excesses(stream, name, reference)}
    stream.window, stream.n_windows = [], stream.n_windows + 1
    twice = {key: one for key, one in found.items() if key in stream.exceeded}
    # an alarm ends with two windows in a row that are as at home
    kept = {
        key: one
        for key, one in stream.alarms.items()
        if key in stream.exceeded and key not in found
    }
    new = [one for key, one in twice.items() if key not in stream.alarms]
    stream.alarms = {**kept, **twice, **_still(stream.alarms, found)}
    stream.exceeded = frozenset(found)
    return new


def _still(alarms: dict[str, Alarm], found: dict[str, Alarm]) -> dict[str, Alarm]:
    return {key: found[key] for key in alarms if key in found}


def _excesses(stream: Stream, name: str, reference: Reference) -> Iterable[Alarm]:
    for what, feature in reference.features.items():
        values = [one.values.get(what, math.nan) for one in stream.window]
        if all(map(math.isfinite, values)):
            psi, ks = feature.compare(values)
            if psi > feature.psi_limit:
                yield Alarm(name, what, "PSI", round(psi, 3), feature.psi_limit)
            if ks > feature.ks_limit:
                yield Alarm(name, what, "KS", round(ks, 3), feature.ks_limit)
    counts = {
        OUTSIDE: sum(one.outside for one in stream.window),
        UNDETERMINED: sum(one.undetermined for one in stream.window),
    }
    for what, limit in reference.rate_limits.items():
        if counts[what] > limit:
            share, most = counts[what] / WINDOW, limit / WINDOW
            yield Alarm(name, what, "share", round(share, 3), round(most, 3))


def _stream_dict(stream: Stream) -> dict[str, Any]:
    return {
        "window": [vars(one) for one in stream.window],
        "n_images": stream.n_images,
        "n_windows": stream.n_windows,
        "exceeded": sorted(stream.exceeded),
        "alarms": {key: vars(one) for key, one in stream.alarms.items()},
    }


def _stream(stored: Mapping[str, Any]) -> Stream:
    return Stream(
        [Observed(**one) for one in stored["window"]],
        int(stored["n_images"]),
        int(stored["n_windows"]),
        frozenset(stored["exceeded"]),
        {key: Alarm(**one) for key, one in stored["alarms"].items()},
    )
