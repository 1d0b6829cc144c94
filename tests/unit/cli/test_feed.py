"""The change feed: its end, its rest from a moment on, its growth; nothing missed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomnode.cli import feed

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Events:
    """A feed with one event a second; ``seqs`` may have gaps."""

    def __init__(self, seqs: list[int]) -> None:
        self.rows = [self.row(seq) for seq in seqs]

    @staticmethod
    def row(seq: int) -> dict[str, Any]:
        at = (NOON + timedelta(seconds=seq)).isoformat().replace("+00:00", "Z")
        return {"seq": seq, "at": at, "state": "A" if seq % 2 else "B"}

    def events(self, after_seq: int = 0, limit: int = 1000) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["seq"] > after_seq][:limit]

    def last_seq(self) -> int:
        return max((row["seq"] for row in self.rows), default=0)


def everything(_row: dict[str, Any]) -> bool:
    return True


def odd(row: dict[str, Any]) -> bool:
    return row["state"] == "A"


gaps = st.sets(st.integers(1, 3 * feed.CHUNK), max_size=60).map(sorted)


@given(gaps, st.integers(0, 80))
@settings(deadline=None)
def test_last(seqs: list[int], number: int) -> None:
    found = [row["seq"] for row in feed.last(Events(seqs), number, everything)]
    assert found == (seqs[-number:] if number else [])
    filtered = [row["seq"] for row in feed.last(Events(seqs), number, odd)]
    assert filtered == ([s for s in seqs if s % 2][-number:] if number else [])


@given(gaps, st.integers(0, 3 * feed.CHUNK))
@settings(deadline=None)
def test_since(seqs: list[int], second: int) -> None:
    at = NOON + timedelta(seconds=second)
    found = [row["seq"] for row in feed.since(Events(seqs), at, everything)]
    assert found == [seq for seq in seqs if seq >= second]


def test_follow_gives_what_is_added_and_pauses_between() -> None:
    events = Events([1, 2])
    pauses = []

    def pause() -> None:
        pauses.append(len(events.rows))
        events.rows.append(Events.row(len(events.rows) + 1))

    found = islice(feed.follow(events, 1, everything, pause), 4)
    assert [row["seq"] for row in found] == [2, 3, 4, 5]
    assert pauses == [2, 3, 4]


def test_follow_reads_more_than_one_chunk_before_it_pauses() -> None:
    events = Events(list(range(1, feed.CHUNK + 20)))

    def pause() -> None:
        raise KeyboardInterrupt

    follower = feed.follow(events, 0, odd, pause)
    found = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(row["seq"] for row in follower)
    assert found == list(range(1, feed.CHUNK + 20, 2))
    rest = [row["seq"] for row in feed.after(events, feed.CHUNK)]
    assert rest == list(range(feed.CHUNK + 1, feed.CHUNK + 20))
