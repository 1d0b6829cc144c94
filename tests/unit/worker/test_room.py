"""Who gets in: images beside series, the urgent beside the rest."""

from __future__ import annotations

import pytest

from dicomnode.worker.room import MOST_BESIDES, Holding, Opening, Room

IMAGE, SERIES = False, True
ANY = (Opening((IMAGE, SERIES)),)


def holding(*held):
    return [Holding(priority, kind) for kind, priority in held]


@pytest.mark.parametrize(
    ("held", "openings"),
    [
        ([], ANY),
        ([(SERIES, 0)], ANY),
        # A third series would leave no place: only a more urgent one, or an image.
        (
            [(SERIES, 0), (SERIES, 5)],
            (Opening((IMAGE,)), Opening((SERIES,), above=5)),
        ),
        # All places taken by series that came urgently: an image still gets in.
        (
            [(SERIES, 0), (SERIES, 5), (SERIES, 9)],
            (Opening((IMAGE,)), Opening((SERIES,), above=9)),
        ),
        # All places taken by images: the first series still gets in.
        (
            [(IMAGE, 0), (IMAGE, 1), (IMAGE, 0)],
            (Opening((IMAGE,), above=1), Opening((SERIES,))),
        ),
        (
            [(SERIES, 9), (SERIES, 0), (IMAGE, 3)],
            (Opening((IMAGE,), above=3), Opening((SERIES,), above=9)),
        ),
    ],
)
def test_of_three_places_two_are_for_series(held, openings):
    assert Room(3, 2).openings(holding(*held)) == openings


def test_with_one_place_an_image_gets_in_beside_a_series_and_a_series_beside_it():
    room = Room(1, 1)
    assert room.openings(holding((SERIES, 7)))[0] == Opening((IMAGE,))
    assert room.openings(holding((IMAGE, 7)))[1] == Opening((SERIES,))


def test_there_is_an_end_to_what_gets_in():
    assert not Room(1, 1).openings(holding(*[(IMAGE, n) for n in range(5)]))
    assert MOST_BESIDES == 4


def test_beside_a_job_that_may_end_the_worker_nothing_begins():
    assert Room(4, 3).openings([Holding(0, IMAGE, alone=True)]) == ()


def test_what_waits_to_be_alone_lets_the_more_urgent_pass():
    held = [Holding(2, SERIES), Holding(0, IMAGE, alone=True, waiting=True)]
    assert Room(4, 3).openings(held) == (Opening((IMAGE, SERIES), above=2),)
