"""A role that has lost a thread ends; one that was asked to stop says so."""

from __future__ import annotations

import subprocess
import sys
from threading import Event

from dicomnode.processes.role import asked_to_stop


def test_a_role_is_asked_to_stop():
    stop = Event()
    stop.set()
    assert asked_to_stop(stop, is_well=lambda: False)


def test_a_role_whose_thread_has_died_does_not_live_on():
    looks = iter([True, False])
    assert not asked_to_stop(Event(), is_well=lambda: next(looks))


SIGNALLED = """
import os, signal
from dicomnode.config import Config
from dicomnode.processes.role import role

with role("probe", Config()) as stop:
    # What the main thread holds for a moment whenever it waits for the event.
    with stop._cond:
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(60)
"""


def test_a_signal_in_the_middle_of_waiting_is_not_a_deadlock():
    run = subprocess.run([sys.executable, "-c", SIGNALLED], timeout=300)
    assert run.returncode == 0
