"""Moments and durations, as people write and read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomnode.health.moments import age, moment, since

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", NOW - timedelta(seconds=30)),
        ("10m", NOW - timedelta(minutes=10)),
        ("1.5 h", NOW - timedelta(minutes=90)),
        ("2D", NOW - timedelta(days=2)),
        ("1w", NOW - timedelta(weeks=1)),
        ("2026-01-31T08:00:00Z", NOW - timedelta(hours=4)),
        ("2026-01-31T09:00+01:00", NOW - timedelta(hours=4)),
    ],
)
def test_since(text: str, expected: datetime) -> None:
    assert since(text, NOW) == expected


def test_today_begins_at_midnight_here() -> None:
    midnight = since("today", NOW)
    assert midnight <= NOW
    assert NOW - midnight < timedelta(hours=25)
    local = midnight.astimezone()
    assert (local.hour, local.minute, local.second) == (0, 0, 0)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "3 fortnights", "-1h", "10", "9" * 12 + "d"]
)
def test_what_is_no_time_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="write 10m, 1h, 2d, today or"):
        since(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (59, "59 s"),
        (90, "2 min"),
        (7200, "2 h"),
        (9e5, "10 d"),
    ],
)
def test_age(seconds: float, expected: str) -> None:
    then = (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    assert age(then, NOW) == expected


def test_moments_of_the_views_are_aware_utc() -> None:
    assert moment("2026-01-31T12:00:00.000000Z") == NOW
    assert moment(NOW.astimezone()).tzinfo is UTC


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30) | st.from_regex(r"[0-9]{1,20}(\.[0-9]+)?[smhdw]"))
def test_any_text_is_a_moment_or_told_how_to_write_one(text: str) -> None:
    try:
        assert since(text, NOW).utcoffset() == timedelta(0)
    except ValueError as error:
        assert "write 10m, 1h, 2d, today or" in str(error)  # noqa: PT017
