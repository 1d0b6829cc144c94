"""What the keeper does: each chore with its last run, and who leads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dicomnode.domain.chore import ChoreRun
from dicomnode.ports import ChoreRuns
from dicomnode.views import utc_text
from dicomnode.worklist import Worklist, copy, open_views, open_worklist
from tests.contract.fakes import MemoryChoreRuns
from tests.contract.worklist.conftest import MakeUrl
from tests.contract.worklist.making import NOON, after, kinds

LISTED = {"retain": 3600.0, "route": 0.5}
Read = Callable[[], list[dict[str, Any]]]


@pytest.fixture(params=["sqlite", "postgresql", "memory"])
def runs(request: pytest.FixtureRequest) -> Iterator[tuple[ChoreRuns, Read]]:
    """Where runs are noted, and the rows that are there then."""
    if request.param == "memory":
        fake = MemoryChoreRuns()
        yield fake, fake.chores
        return
    make: MakeUrl = request.getfixturevalue(f"make_{request.param}")
    with open_worklist(make()) as worklist:
        yield worklist.chores, worklist.views.chores


def ran(name: str, seconds: float, n_done: int = 0, error: str = "") -> ChoreRun:
    return ChoreRun(name, after(seconds), after(seconds + 2), n_done, error)


def at(seconds: float) -> str:
    return utc_text(after(seconds))


def test_a_chore_that_has_not_run_is_there(runs: tuple[ChoreRuns, Read]) -> None:
    port, read = runs
    port.enlist(LISTED, "host-1", NOON)
    retain, route = read()
    assert retain == {
        "name": "retain",
        "every_seconds": 3600.0,
        "began_at": None,
        "ended_at": None,
        "n_done": 0,
        "last_done_at": None,
        "succeeded_at": None,
        "failed_at": None,
        "error": "",
        "holder": "host-1",
        "enlisted_at": at(0),
        "led_until": None,
    }
    assert (route["name"], route["every_seconds"]) == ("route", 0.5)


def test_the_last_run_and_what_came_before(runs: tuple[ChoreRuns, Read]) -> None:
    port, read = runs
    port.enlist(LISTED, "host-1", NOON)
    port.ran(ran("retain", 10, n_done=3))
    port.ran(ran("retain", 20, error="no room; free some"))
    retain, route = read()
    assert route["began_at"] is None
    assert (retain["began_at"], retain["ended_at"]) == (at(20), at(22))
    assert (retain["n_done"], retain["last_done_at"]) == (0, at(12))
    assert (retain["succeeded_at"], retain["failed_at"]) == (at(12), at(22))
    port.ran(ran("retain", 30))
    retain, _ = read()
    assert (retain["succeeded_at"], retain["failed_at"]) == (at(32), at(22))
    assert (retain["error"], retain["last_done_at"]) == ("no room; free some", at(12))


def test_another_keeper_goes_on_with_its_own_list(
    runs: tuple[ChoreRuns, Read],
) -> None:
    port, read = runs
    port.enlist(LISTED, "host-1", NOON)
    port.ran(ran("route", 1, n_done=1))
    port.enlist({"route": 2.0, "sweep": 60.0}, "host-2", after(9))
    route, sweep = read()
    assert (route["name"], sweep["name"]) == ("route", "sweep")
    assert (route["holder"], route["every_seconds"]) == ("host-2", 2.0)
    assert (route["enlisted_at"], route["last_done_at"]) == (at(0), at(3))
    assert sweep["enlisted_at"] == at(9)
    port.ran(ran("retain", 12))
    assert read() == [route, sweep], "what is not on the list has no run"


def test_after_a_pause_nothing_is_overdue_at_once(
    runs: tuple[ChoreRuns, Read],
) -> None:
    port, read = runs
    port.enlist(LISTED, "host-1", NOON)
    port.ran(ran("route", 1))
    port.enlist(LISTED, "host-1", after(9000))
    assert {row["enlisted_at"] for row in read()} == {at(9000)}


def test_who_leads_is_seen_and_no_event_is_left(worklist: Worklist) -> None:
    worklist.chores.enlist(LISTED, "host-1", NOON)
    assert worklist.upkeep.lead("host-1", NOON, 10)
    worklist.chores.ran(ran("route", 1))
    assert {row["led_until"] for row in worklist.views.chores()} == {at(10)}
    assert worklist.upkeep.lead("host-2", after(10), 10)
    assert {row["led_until"] for row in worklist.views.chores()} == {None}
    assert kinds(worklist) == []


def test_they_move_with_the_database(make_url: MakeUrl, make_sqlite: MakeUrl) -> None:
    source, target = make_sqlite(), make_url(migrated=False)
    with open_worklist(source) as worklist:
        worklist.chores.enlist(LISTED, "host-1", NOON)
        worklist.chores.ran(ran("route", 1, n_done=1))
        before = worklist.views.chores()
    (copied,) = [one for one in copy(source, target) if one.table == "chores"]
    assert copied.n_rows == 2
    views = open_views(target)
    assert views.chores() == before
    views.close()
