"""The simulation behind docs/scaling.md: seeded, and right where arithmetic tells."""

from __future__ import annotations

import random
from dataclasses import replace

from tests.bench.scaling import DAY, Group, arrivals, growth, needed, simulated

SMALL = Group(studies_a_year=365_000, failures_a_day=0.0, peak=1.0)


def test_as_many_studies_come_as_were_asked_for() -> None:
    n = sum(1 for _ in arrivals(SMALL, 7, random.Random(1)))
    assert abs(n - 7000) < 4 * 7000**0.5


def test_nights_are_quiet() -> None:
    hours = [int(at % DAY // 3600) for at in arrivals(SMALL, 7, random.Random(1))]
    assert hours.count(9) > 8 * hours.count(3)


def test_the_same_seed_gives_the_same_week() -> None:
    assert simulated(SMALL, 2) == simulated(SMALL, 2)
    assert simulated(SMALL, 2, seed=1) != simulated(SMALL, 2)


def test_the_workers_are_as_busy_as_arithmetic_says() -> None:
    found = simulated(SMALL, 1, days=7)
    assert abs(found.busy_percent - 100 * 1000 * 0.5 / DAY) < 0.1


def test_too_few_workers_fall_behind_and_enough_do_not() -> None:
    group = replace(SMALL, work_seconds=60.0)
    least = needed(group, 60.0, days=2)
    assert least.wait_p99_seconds <= 60
    assert simulated(group, least.workers - 1, 2).wait_p99_seconds > 60


def test_who_dies_with_a_study_costs_a_lease() -> None:
    group = replace(SMALL, failures_a_day=2000.0, repair_seconds=1.0)
    found = simulated(group, 2, days=1)
    assert found.worked_twice > 0
    assert found.longest_wait_seconds >= group.lease_seconds
    assert found.studies > 900


def test_storage_is_a_product() -> None:
    found = growth(replace(Group(), instances=1, instance_bytes=1, results_bytes=0))
    assert found["database a year, GB"] == round(5e6 * 25 * 270 / 1e9, 1)
    assert found["studies a day"] == round(5e6 / 365)
