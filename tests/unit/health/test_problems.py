"""When is the node unhealthy, and does each problem come with its remedy?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dicomnode.health.problems import Disk, Snapshot, problems, remedy_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
WELL = Snapshot(
    now=NOW,
    counts={"job": {"COMPLETED": 3}, "delivery": {"SENT": 3, "PENDING": 1}},
    disk=Disk("/var", 100, 50.0, 90.0),
    lease_seconds=60,
)


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def told(snapshot: Snapshot) -> str:
    return "\n".join(f"{one.what}; {one.remedy}" for one in problems(snapshot))


def test_a_node_with_nothing_wrong_is_well() -> None:
    assert problems(WELL) == []


def test_a_role_that_dies_again_and_again() -> None:
    assert problems(replace(WELL, ended={"keep": 2})) == []
    (problem,) = problems(replace(WELL, ended={"keep": 3}))
    assert problem.what == "the role keep has ended 3 times in 10 min"
    assert "dicomnode keep" in problem.remedy


def test_a_changed_configuration_that_is_wrong() -> None:
    wrong = "config.toml:3: study.quiet is an unknown key; remove it"
    (problem,) = problems(replace(WELL, refused_config=wrong))
    assert "goes on with the old one" in problem.what
    assert "`dicomnode reload`" in problem.remedy
    assert problem.examples == [wrong]


def test_failed_jobs() -> None:
    failed = [{"job_id": "j1", "error": "no pixels"}]
    snapshot = replace(WELL, counts={"job": {"FAILED": 2}}, failed=failed)
    (problem,) = problems(snapshot)
    assert problem.what == "2 failed job(s)"
    assert "dicomnode retry" in problem.remedy
    assert problem.examples == ["j1: no pixels"]


@pytest.mark.parametrize("state", ["FAILED", "REJECTED"])
def test_dead_letters(state: str) -> None:
    snapshot = replace(WELL, counts={"delivery": {state: 1}})
    assert "1 result(s) not delivered" in told(snapshot)
    assert "--all-failed" in told(snapshot)


@pytest.mark.parametrize("state", ["SCHEDULED", "IN_PROGRESS"])
def test_jobs_wait_and_nobody_works(state: str) -> None:
    waiting = replace(WELL, counts={"job": {state: 4}})
    assert "4 job(s) wait and no worker is alive" in told(waiting)
    gone = replace(waiting, workers=[{"heartbeat_at": ago(61)}])
    assert "no worker is alive" in told(gone)
    alive = replace(waiting, workers=[{"heartbeat_at": ago(59)}])
    assert problems(alive) == []


def test_a_worker_that_ended_in_order_makes_room_for_the_next() -> None:
    ended = {"heartbeat_at": ago(5), "state": "STOPPED"}
    next_one = {"heartbeat_at": ago(1), "state": "IDLE"}
    only = replace(WELL, workers=[ended], counts={"job": {"SCHEDULED": 1}})
    assert "no worker is alive" in told(only)
    assert (only.shown_workers, only.state_of(ended)) == ([ended], "STOPPED")
    both = replace(only, workers=[next_one, ended])
    assert problems(both) == []
    assert both.shown_workers == [next_one]
    lost = replace(both, workers=[{**next_one, "heartbeat_at": ago(61)}])
    assert lost.state_of(lost.workers[0]) == "GONE"


def test_no_worker_is_no_problem_while_nothing_waits() -> None:
    assert problems(replace(WELL, workers=[])) == []


def test_nobody_routes() -> None:
    snapshot = replace(WELL, unrouted={"n_studies": 3, "since": ago(120)})
    assert "3 complete studies not routed for 2 min" in told(snapshot)
    assert "dicomnode keep" in told(snapshot)
    assert problems(replace(WELL, unrouted={"n_studies": 0, "since": None})) == []


def test_a_full_disk() -> None:
    snapshot = replace(WELL, disk=Disk("/var", 100, 90.0, 90.0))
    assert "0xA700" in told(snapshot)
    assert "retention.keep_days" in told(snapshot)


@pytest.mark.parametrize(
    ("row", "remedy"),
    [
        ({"job_state": "FAILED"}, "`dicomnode retry j`"),
        ({"job_state": "CANCELED"}, "`dicomnode retry j`"),
        ({"study_state": "NOT_ROUTED"}, "[[pipeline]]"),
        ({"job_state": "COMPLETED"}, ""),
    ],
)
def test_remedy_of_a_row(row: dict[str, str], remedy: str) -> None:
    full = {"job_id": "j", "job_state": None, "study_state": "ROUTED", **row}
    found = remedy_of(full)
    assert remedy in found
    assert bool(found) == bool(remedy)


def chore(**values: object) -> dict[str, object]:
    """A row of v1_chores: hourly, its keeper leads, all is well."""
    well = {
        "name": "retain",
        "every_seconds": 3600.0,
        "began_at": ago(1900),
        "ended_at": ago(1800),
        "failed_at": None,
        "succeeded_at": ago(1800),
        "error": "",
        "enlisted_at": ago(90000),
        "led_until": ago(-8),
    }
    return well | values


def test_a_chore_that_fails_comes_with_its_remedy() -> None:
    assert problems(replace(WELL, chores=[chore()])) == []
    over = chore(failed_at=ago(5400), error="no room; free some")
    assert problems(replace(WELL, chores=[over])) == [], "it went well since"
    fails = chore(failed_at=ago(1800), error="no room; free some")
    (problem,) = problems(replace(WELL, chores=[fails]))
    assert problem.what == "housekeeping: retain failed 30 min ago: no room"
    assert (problem.remedy, problem.key) == ("free some", "chore-fails:retain")


@pytest.mark.parametrize(
    "values",
    [
        {"ended_at": ago(10700)},
        {"ended_at": ago(20000), "led_until": None},
        {"ended_at": ago(20000), "led_until": ago(1)},
        {"ended_at": None, "enlisted_at": ago(3000)},
        {"ended_at": ago(20000), "enlisted_at": ago(10)},
        {"ended_at": ago(170), "every_seconds": 1.0},
    ],
)
def test_a_chore_that_is_not_overdue(values: dict[str, object]) -> None:
    assert problems(replace(WELL, chores=[chore(**values)])) == []


@pytest.mark.parametrize(
    "values",
    [
        {"ended_at": ago(10900)},
        {"ended_at": None, "enlisted_at": ago(10900)},
        {"ended_at": ago(190), "every_seconds": 1.0},
    ],
)
def test_a_chore_that_does_not_run_although_a_keeper_leads(
    values: dict[str, object],
) -> None:
    (problem,) = problems(replace(WELL, chores=[chore(**values)]))
    assert problem.what.startswith("housekeeping: retain has not run for 3 ")
    assert "dicomnode keep" in problem.remedy
    assert problem.key == "chore-late:retain"
