"""Chores on the real APScheduler: a failing chore comes again, a follower stands by."""

from __future__ import annotations

from datetime import UTC, datetime, time
from threading import Event

from dicomnode.housekeeping.schedule import Chore, Schedule


def test_a_failing_chore_is_tried_again_and_stops_no_other():
    done, calls = Event(), []

    def fail():
        calls.append(1)
        raise RuntimeError("the disk is on fire")

    def work():
        if len(calls) >= 2:
            done.set()
        return 1

    schedule = Schedule(
        [Chore("fail", 0.02, fail), Chore("work", 0.02, work)], leads=lambda: True
    )
    schedule.start()
    try:
        assert done.wait(30)
    finally:
        schedule.stop()


def test_only_the_leader_works():
    calls = []
    schedule = Schedule([], leads=lambda: False)
    schedule.perform(Chore("work", 1, lambda: calls.append(1) or 1))
    assert calls == []


def test_a_daily_chore_is_due_at_its_time_of_day():
    chore = Chore("reconcile", 86400, int, daily_at=time(2, 30))
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    due = chore.trigger().get_next_fire_time(None, now)
    assert due == datetime(2026, 2, 1, 2, 30, tzinfo=UTC)
