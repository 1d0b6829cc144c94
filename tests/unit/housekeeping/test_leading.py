"""Who leads knows it without a commit for each chore."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event

import pytest

from dicomnode.errors import WorklistError
from dicomnode.housekeeping.leading import Leading

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Row:
    """A clock, and the one leader row; ``failing`` makes the worklist refuse."""

    def __init__(self):
        self.at, self.free, self.failing = NOON, True, False
        self.n_asked, self.asked = 0, Event()

    def now(self):
        return self.at

    def lead(self, holder, now, lease_seconds):
        self.n_asked += 1
        self.asked.set()
        if self.failing:
            raise WorklistError("it is locked; wait")
        return self.free

    def pass_seconds(self, seconds):
        self.at += timedelta(seconds=seconds)


def test_a_leader_asks_once_in_half_a_lease():
    row = Row()
    leading = Leading(row, row, "host-1", 10)
    for _ in range(8):
        assert leading()
        row.pass_seconds(1)
    assert row.n_asked == 2


def test_who_does_not_lead_asks_each_time():
    row = Row()
    row.free = False
    leading = Leading(row, row, "host-1", 10)
    assert [leading(), leading()] == [False, False]
    row.free = True
    assert leading()
    assert row.n_asked == 3


def test_a_process_that_stood_still_does_not_think_that_it_leads():
    row = Row()
    leading = Leading(row, row, "host-1", 10)
    assert leading()
    row.pass_seconds(11)
    row.free = False
    assert not leading()


def test_the_lease_is_renewed_beside_the_chores_also_after_a_failure():
    row = Row()
    leading = Leading(row, row, "host-1", 0.05)
    assert leading()
    with leading.renewing():
        for row.failing in (True, False, False):
            row.asked.clear()
            assert row.asked.wait(60)
    row.failing = True
    assert leading()


def test_nobody_renews_what_he_never_had():
    row = Row()
    row.failing = True
    leading = Leading(row, row, "host-1", 10)
    with leading.renewing(), pytest.raises(WorklistError):
        leading()
    assert row.n_asked == 1
