"""The supervisor's child: restarts with growing delay, stops cleanly."""

from __future__ import annotations

import os
import sys

from dicomnode.processes.supervision import (
    LONGEST_DELAY_SECONDS,
    STEADY_SECONDS,
    Child,
    Command,
    restart_delay_seconds,
)


class Hand:
    """A monotonic clock moved by hand."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def a_child(code, clock):
    return Child(
        Command("probe", [sys.executable, "-c", code], dict(os.environ)), clock
    )


def ended(child):
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


def test_the_delay_grows_to_a_limit():
    delays = [restart_delay_seconds(n) for n in range(1, 12)]
    assert delays == sorted(delays)
    assert delays[0] < 1
    assert delays[-1] == LONGEST_DELAY_SECONDS


def test_a_child_that_dies_is_started_again_after_its_delay():
    clock = Hand()
    child = a_child("raise SystemExit(3)", clock)
    child.watch()
    first = child.pid
    ended(child)
    child.watch()
    assert child.pid is None
    clock.seconds += restart_delay_seconds(1)
    child.watch()
    assert child.pid not in (None, first)
    child.wait(30)


def test_a_child_that_dies_again_and_again_waits_longer_each_time():
    clock, waits = Hand(), []
    child = a_child("raise SystemExit(3)", clock)
    child.watch()
    for _ in range(3):
        ended(child)
        child.watch()
        before = clock.seconds
        while child.pid is None:
            clock.seconds += 0.25
            child.watch()
        waits.append(clock.seconds - before)
    child.wait(30)
    assert waits[0] < waits[1] < waits[2]


def test_a_steady_child_starts_with_the_first_delay_again():
    clock = Hand()
    child = a_child("raise SystemExit(3)", clock)
    for _ in range(3):
        child.watch()
        assert child.pid is not None
        ended(child)
        clock.seconds += STEADY_SECONDS
        child.watch()
        clock.seconds += restart_delay_seconds(1)


def test_a_child_that_ignores_sigterm_is_killed():
    stubborn = (
        "import signal,time,sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "sys.stdout.write('up'); sys.stdout.flush(); time.sleep(600)"
    )
    child = a_child(stubborn, Hand())
    child.watch()
    pid = child.pid
    child.ask_to_stop()
    child.wait(0.5)
    assert child.pid is None
    assert not os.path.exists(f"/proc/{pid}")
