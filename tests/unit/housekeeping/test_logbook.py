"""Runs of chores are noted: news at once, the same again once a minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dicomnode.errors import StoreUnreachable, WorklistError
from dicomnode.housekeeping.logbook import Logbook, words_of
from tests.contract.fakes import MemoryChoreRuns

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class Hands:
    """A clock, and a chore that does and fails as it is told."""

    def __init__(self, pressing=()):
        self.at = NOON
        self.does = 0
        self.fails = False
        self.runs = MemoryChoreRuns()
        self.logbook = Logbook(self.runs, self, "host-1", {"route": 1.0}, pressing)

    def now(self):
        return self.at

    def chore(self):
        if self.fails:
            raise RuntimeError("Planted^Patient is no number")
        return self.does

    def tick(self, seconds=1.0):
        self.at += timedelta(seconds=seconds)
        return self.logbook.run("route", self.chore)

    def fail(self, seconds=1.0):
        self.fails = True
        with pytest.raises(RuntimeError):
            self.tick(seconds)
        self.fails = False


@pytest.fixture
def hands():
    return Hands()


def test_what_comes_every_second_is_noted_once_a_minute(hands):
    for _ in range(181):
        hands.tick()
    noted = [(run.ended_at - NOON).total_seconds() for run in hands.runs.noted]
    assert noted == [1, 61, 121, 181]


def test_what_did_something_is_noted_at_once(hands):
    hands.tick()
    hands.does = 3
    assert hands.tick() == 3
    assert [run.n_done for run in hands.runs.noted] == [0, 3]


def noted(hands):
    return [(run.n_done, (run.ended_at - NOON).seconds) for run in hands.runs.noted]


def test_what_others_wait_for_is_noted_by_the_next_idle_run():
    hands = Hands(pressing=["route"])
    hands.tick()
    hands.does = 3
    hands.tick()
    assert noted(hands) == [(0, 1)]
    hands.does = 0
    hands.tick()
    assert noted(hands) == [(0, 1), (3, 2)]


def test_a_chore_that_is_never_idle_is_noted_every_few_seconds():
    hands = Hands(pressing=["route"])
    hands.tick()
    hands.does = 2
    for _ in range(13):
        hands.tick()
    assert noted(hands) == [(0, 1), (2, 7), (2, 13)]


def test_what_was_done_before_a_failure_is_noted_with_it():
    hands = Hands(pressing=["route"])
    hands.tick()
    hands.does = 1
    hands.tick()
    hands.fail()
    assert noted(hands) == [(0, 1), (1, 2), (0, 3)]
    hands.tick()
    assert noted(hands)[3:] == [(1, 4)]


def test_what_is_not_noted_yet_is_noted_at_the_end():
    hands = Hands(pressing=["route"])
    hands.tick()
    hands.does = 1
    hands.tick()
    hands.logbook.close()
    hands.logbook.close()
    assert noted(hands) == [(0, 1), (1, 2)]


def test_the_first_failure_and_the_recovery_are_noted_at_once(hands):
    hands.tick()
    for _ in range(30):
        hands.fail()
    for _ in range(3):
        hands.tick()
    assert [bool(run.error) for run in hands.runs.noted] == [False, True, False]


def test_a_lasting_failure_is_noted_once_a_minute(hands):
    for _ in range(121):
        hands.fail()
    assert len(hands.runs.noted) == 3


def test_a_clock_that_is_set_back_stops_nothing(hands):
    hands.tick()
    hands.tick(-3600)
    assert len(hands.runs.noted) == 2


def test_a_database_that_fails_stops_no_chore(hands):
    hands.runs.failing = True
    hands.does = 1
    assert hands.tick() == 1
    assert hands.runs.rows == {}
    hands.runs.failing = False
    hands.does = 0
    assert hands.tick() == 0
    assert hands.runs.rows["route"]["succeeded_at"] == hands.at


def test_whoever_leads_again_says_so(hands):
    hands.tick()
    hands.tick()
    assert hands.runs.rows["route"]["enlisted_at"] == NOON + timedelta(seconds=1)
    hands.logbook.stand_by()
    hands.tick(600)
    assert hands.runs.rows["route"]["enlisted_at"] == hands.at
    assert len(hands.runs.noted) == 2


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (WorklistError("it is locked; wait"), "it is locked; wait"),
        (WorklistError("it is locked"), "it is locked; read the log of"),
        (StoreUnreachable("no answer; start it"), "no answer; start it"),
        (OSError(28, "No space left on device", "/a/b"), "No space left on device; r"),
        (KeyError("Planted^Patient"), "KeyError; read the log of"),
    ],
)
def test_a_failure_ends_with_its_remedy_and_names_nobody(error, words):
    assert words_of(error).startswith(words)
    assert "Planted" not in words_of(error)
    assert "/a/b" not in words_of(error)


def test_the_error_of_a_run_names_nobody(hands):
    hands.fail()
    assert hands.runs.rows["route"]["error"] == (
        "RuntimeError; read the log of `dicomnode keep`"
    )
