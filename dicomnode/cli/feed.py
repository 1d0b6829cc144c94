"""The change feed, read from its end, from a moment, or as it grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, Protocol

from dicomnode.health.moments import moment

CHUNK = 500
_STUDIES = 1000

Record = dict[str, Any]
Wanted = Callable[[Record], bool]


class Feed(Protocol):
    """The part of the read-only views that is needed here."""

    def events(self, after_seq: int = 0, limit: int = 1000) -> list[Record]:
        """Events after ``after_seq``, in order."""
        ...

    def last_seq(self) -> int:
        """The newest ``seq``; 0 if there is none."""
        ...


def last(feed: Feed, number: int, wanted: Wanted) -> list[Record]:
    """The last ``number`` events that are wanted, the oldest of them first."""
    found: list[Record] = []
    end = feed.last_seq()
    while end > 0 and len(found) < number:
        start = max(0, end - CHUNK)
        page = feed.events(start, CHUNK)
        found = [one for one in page if one["seq"] <= end and wanted(one)] + found
        end = start
    return found[len(found) - number :] if len(found) > number else found


def since(feed: Feed, at: datetime, wanted: Wanted) -> Iterator[Record]:
    """The wanted events from the moment ``at`` on."""
    for one in after(feed, _seq_before(feed, at)):
        if moment(one["at"]) >= at and wanted(one):
            yield one


def after(feed: Feed, seq: int) -> Iterator[Record]:
    """Every event after ``seq`` that is there now."""
    while page := feed.events(seq, CHUNK):
        yield from page
        seq = page[-1]["seq"]


def follow(
    feed: Feed, seq: int, wanted: Wanted, pause: Callable[[], object]
) -> Iterator[Record]:
    """Every wanted event after ``seq``, for ever; ``pause`` waits between two looks."""
    while True:
        for one in after(feed, seq):
            seq = one["seq"]
            if wanted(one):
                yield one
        pause()


def _seq_before(feed: Feed, at: datetime) -> int:
    """A number before the first event at ``at`` or later, by bisection.

    Transactions may commit a little out of order; a chunk of margin covers that.
    """
    low, high = 0, feed.last_seq()
    while low < high:
        middle = (low + high) // 2
        page = feed.events(middle, 1)
        if page and moment(page[0]["at"]) < at:
            low = middle + 1
        else:
            high = middle
    return max(0, low - CHUNK)
