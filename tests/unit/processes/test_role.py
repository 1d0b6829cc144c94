"""A role that has lost a thread ends; one that was asked to stop says so."""

from __future__ import annotations

from threading import Event

from dicomnode.processes.role import asked_to_stop


def test_a_role_is_asked_to_stop():
    stop = Event()
    stop.set()
    assert asked_to_stop(stop, is_well=lambda: False)


def test_a_role_whose_thread_has_died_does_not_live_on():
    looks = iter([True, False])
    assert not asked_to_stop(Event(), is_well=lambda: next(looks))
