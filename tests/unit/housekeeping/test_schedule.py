"""Chores on the real APScheduler: a failing chore comes again, a follower stands by."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from threading import Event

from dicomnode.housekeeping.logbook import Logbook
from dicomnode.housekeeping.schedule import Chore, Schedule
from tests.contract.fakes import MemoryChoreRuns


class Now:
    def now(self):
        return datetime.now(UTC)


def logbook(runs, *names):
    return Logbook(runs, Now(), "host-1", dict.fromkeys(names, 1.0))


def test_a_failing_chore_is_tried_again_and_stops_no_other():
    done, calls, runs = Event(), [], MemoryChoreRuns()

    def fail():
        calls.append(1)
        raise RuntimeError("the disk is on fire")

    def work():
        if len(calls) >= 2:
            done.set()
        return 1

    schedule = Schedule(
        [Chore("fail", 0.02, fail), Chore("work", 0.02, work)],
        lambda: True,
        logbook(runs, "fail", "work"),
    )
    schedule.start()
    try:
        assert done.wait(300)
    finally:
        schedule.stop()
    assert runs.rows["fail"]["error"].startswith("RuntimeError; ")
    assert runs.rows["work"]["n_done"] == 1


def test_studies_are_routed_while_a_long_chore_runs():
    begun, routed, ends, runs = Event(), Event(), Event(), MemoryChoreRuns()

    def retain():
        begun.set()
        return int(ends.wait(300))

    def route():
        if begun.is_set():
            routed.set()
        return 1

    schedule = Schedule(
        [Chore("retain", 0.02, retain, is_long=True), Chore("route", 0.02, route)],
        lambda: True,
        logbook(runs, "retain", "route"),
    )
    schedule.start()
    try:
        assert routed.wait(300)
    finally:
        ends.set()
        schedule.stop()


def test_a_chore_comes_before_its_tick_when_it_is_due_then():
    came, calls, runs = Event(), [], MemoryChoreRuns()

    def route():
        calls.append(datetime.now(UTC))
        came.set()
        return 0

    schedule = Schedule([Chore("route", 3600, route)], lambda: True, logbook(runs))
    schedule.start()
    try:
        due_at = datetime.now(UTC) + timedelta(seconds=0.2)
        schedule.hasten("route", due_at)
        schedule.hasten("route", due_at + timedelta(days=1))  # its tick comes before
        schedule.hasten("nothing of that name", due_at)
        assert came.wait(60)
    finally:
        schedule.stop()
    assert calls[0] >= due_at


def test_only_the_leader_works():
    calls, leading, runs = [], [False], MemoryChoreRuns()
    schedule = Schedule([], lambda: leading[0], logbook(runs, "work"))
    work = Chore("work", 1, lambda: calls.append(1) or 1)
    schedule.perform(work)
    assert (calls, runs.rows) == ([], {})
    leading[0] = True
    schedule.perform(work)
    assert calls == [1]
    assert runs.rows["work"]["last_done_at"] is not None


def test_a_failing_database_breaks_nothing():
    calls, runs = [], MemoryChoreRuns()
    runs.failing = True
    schedule = Schedule([], lambda: True, logbook(runs, "work"))
    for _ in range(2):
        schedule.perform(Chore("work", 1, lambda: calls.append(1) or 1))
    assert calls == [1, 1]


def test_a_daily_chore_is_due_at_its_time_of_day():
    chore = Chore("reconcile", 86400, int, daily_at=time(2, 30))
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    due = chore.trigger().get_next_fire_time(None, now)
    assert due == datetime(2026, 2, 1, 2, 30, tzinfo=UTC)
