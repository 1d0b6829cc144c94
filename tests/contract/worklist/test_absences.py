"""A destination that cannot be reached: held as a whole, tried with one delivery."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    NOON,
    after,
    finished,
    kinds,
    new_result,
    some_uid,
)

DELAYS = (10, 60)
TEXT = "%Y-%m-%dT%H:%M:%S.%fZ"


def waiting(worklist: Worklist, n_results: int = 3, destination: str = "PACS") -> None:
    for number in range(n_results):
        finished(worklist, new_result(number, destination), study=some_uid())


def due(worklist: Worklist, seconds: float, destination: str = "PACS") -> list[str]:
    """Last digits of the SOP Instance UIDs that are due."""
    found = worklist.outbox.due(destination, after(seconds), 60, 10)
    return [one.sop_instance_uid[-1] for one in found]


def away(worklist: Worklist, seconds: float = 0, destination: str = "PACS") -> None:
    """An attempt in vain; what was claimed for it is put back."""
    found = worklist.outbox.due(destination, after(seconds), 60, 10)
    worklist.absences.absent(destination, "down; start it", DELAYS, after(seconds))
    worklist.outbox.put_back(found)


def test_all_that_waits_is_held_until_the_next_attempt(worklist: Worklist) -> None:
    waiting(worklist)
    waiting(worklist, 1, "ARCHIVE")
    away(worklist)
    assert due(worklist, 9) == []
    assert len(due(worklist, 9, "ARCHIVE")) == 1, "no other is held up"
    assert due(worklist, 10) == ["0"], "one result tries it for all"


def test_the_delay_grows_and_no_delivery_is_counted_as_tried(
    worklist: Worklist,
) -> None:
    waiting(worklist)
    for seconds in (0, 10, 70, 130):
        away(worklist, seconds)
    (row,) = worklist.views.absences()
    assert (row["attempts"], row["n_waiting"], row["error"]) == (4, 3, "down; start it")
    assert row["began_at"] == NOON.strftime(TEXT)
    assert row["next_attempt_at"] == after(190).strftime(TEXT)
    assert {one["attempts"] for one in worklist.views.deliveries()} == {0}
    assert kinds(worklist).count("destination absent") == 4


def test_a_waiting_delivery_shows_the_attempt_it_waits_for(worklist: Worklist) -> None:
    waiting(worklist, 1)
    away(worklist)
    (row,) = worklist.views.deliveries()
    assert row["next_attempt_at"] == after(10).strftime(TEXT)
    assert row["error"] == "down; start it"
    worklist.absences.present("PACS", after(11))
    (row,) = worklist.views.deliveries()
    assert (row["next_attempt_at"], row["error"]) == (NOON.strftime(TEXT), "")


def test_once_it_answers_all_is_due_the_oldest_first(worklist: Worklist) -> None:
    waiting(worklist)
    away(worklist)
    waiting(worklist, 1)
    (tried,) = worklist.outbox.due("PACS", after(10), 60, 10)
    worklist.outbox.sent(tried, 0x0000, after(11))
    worklist.absences.present("PACS", after(11))
    worklist.absences.present("PACS", after(11))
    assert due(worklist, 11) == ["1", "2", "0"]
    assert worklist.views.absences() == []
    assert kinds(worklist).count("destination return") == 1


def test_one_process_tries_it_and_another_when_that_has_died(
    worklist: Worklist,
) -> None:
    waiting(worklist)
    away(worklist)
    assert due(worklist, 10) == ["0"]
    assert due(worklist, 69) == []
    assert due(worklist, 70) == ["0"]


def test_it_is_tried_with_what_was_tried_least(worklist: Worklist) -> None:
    waiting(worklist)
    first, *others = worklist.outbox.due("PACS", NOON, 60, 10)
    worklist.absences.absent("PACS", "no answer", DELAYS, after(1))
    worklist.outbox.postpone(first, None, "no answer", after(11), after(1))
    worklist.outbox.put_back(others)
    assert due(worklist, 11) == ["1"]


def test_two_processes_that_find_out_at_once_have_found_out_once(
    worklist: Worklist,
) -> None:
    waiting(worklist)
    away(worklist)
    worklist.absences.absent("PACS", "down", DELAYS, after(5))
    (row,) = worklist.views.absences()
    assert (row["attempts"], row["next_attempt_at"]) == (1, after(10).strftime(TEXT))


def test_a_check_waits_for_a_destination_that_is_away(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"), new_result(2, "PACS"))
    for delivery in worklist.outbox.due("PACS", NOON, 60, 10):
        worklist.outbox.sent(delivery, 0x0000, NOON, check_at=NOON)
    claimed = worklist.commitments.unconfirmed("PACS", NOON, 60, 10)
    worklist.absences.absent("PACS", "down", DELAYS, NOON)
    worklist.commitments.put_back(claimed)
    assert worklist.commitments.unconfirmed("PACS", after(9), 60, 10) == []
    (one,) = worklist.commitments.unconfirmed("PACS", after(10), 60, 10)
    assert one == claimed[0]
    (row,) = worklist.views.absences()
    assert row["n_waiting"] == 0


def test_an_admin_tries_it_at_once(worklist: Worklist) -> None:
    waiting(worklist)
    for seconds in (0, 10):
        away(worklist, seconds)
    assert worklist.absences.try_now("PACS", after(20), "alice")
    assert not worklist.absences.try_now("ARCHIVE", after(20))
    assert due(worklist, 20) == ["0"]
    worklist.absences.absent("PACS", "down", DELAYS, after(21))
    (row,) = worklist.views.absences()
    assert row["next_attempt_at"] == after(31).strftime(TEXT)
    told = [one for one in worklist.views.events() if one["kind"] == "destination try"]
    assert [one["detail"] for one in told] == ["PACS by alice"]


def test_an_absence_that_holds_nothing_is_not_shown(worklist: Worklist) -> None:
    waiting(worklist, 1)
    away(worklist)
    (one,) = worklist.outbox.due("PACS", after(10), 60, 10)
    worklist.outbox.postpone(one, 0xC000, "cannot understand", None, after(11))
    assert worklist.views.absences() == []


def test_threads_that_race_try_it_once(worklist: Worklist) -> None:
    waiting(worklist)
    away(worklist)
    start = threading.Barrier(3)

    def claim(_number: int) -> int:
        start.wait()
        return len(due(worklist, 10))

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(claim, range(3))) == [0, 0, 1]
