"""A role that ends for good, or only to begin again."""

from __future__ import annotations

from threading import Event

from dicomnode.processes.renewal import Turns


def test_a_role_begins_again_as_often_as_it_is_asked_to():
    turns = Turns(Event())
    for _ in range(2):
        turns.begin_again()
        assert turns.stop.is_set()
        assert turns.is_another()
        assert not turns.stop.is_set()
    assert not turns.is_another()


def test_the_end_wins_over_a_reload_in_whatever_order_they_come():
    for first, second in (("end", "begin_again"), ("begin_again", "end")):
        turns = Turns(Event())
        getattr(turns, first)()
        getattr(turns, second)()
        assert not turns.is_another()
        assert turns.stop.is_set()


def test_a_role_that_ends_by_itself_is_not_begun_again():
    assert not Turns(Event()).is_another()
