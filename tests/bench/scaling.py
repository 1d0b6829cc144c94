"""`python -m tests.bench scaling`: a hospital group in a simulation.

A small discrete-event simulation, pure and seeded: studies arrive by the hour of the
day and of the week, workers serve the queue first come first served, and machines fail
and come back. Costs are those measured on one machine (docs/scaling.md says by which
command); every one can be given. What comes out is how long studies wait, how many
workers that takes, and how much the database and the store grow.
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import quantiles

HOUR, DAY, YEAR_DAYS = 3600.0, 86_400.0, 365

BY_HOUR = (
    1.0, 0.8, 0.7, 0.6, 0.7, 1.2, 2.5, 5.5, 8.5, 9.5, 9.5, 9.0,
    7.5, 8.0, 8.0, 7.0, 5.5, 4.0, 3.0, 2.5, 2.2, 1.8, 1.5, 1.2,
)  # fmt: skip
"""Radiographs of a hospital by hour of the day, in relative numbers."""

BY_WEEKDAY = (1.15, 1.1, 1.1, 1.1, 1.05, 0.75, 0.75)
_LIMIT_SECONDS = 60.0
_HEAVIER = (1, 10, 60)


@dataclass(frozen=True)
class Group:
    """What is simulated; times in seconds, sizes in bytes."""

    sites: int = 100
    studies_a_year: int = 5_000_000
    peak: float = 1.5
    """The busiest day against the mean of its weekday."""
    instances: float = 2.0
    instance_bytes: int = 15_000_000
    work_seconds: float = 0.5
    """Of one worker, for one study."""
    spread: float = 0.5
    """Standard deviation of the work, as a share of its mean."""
    failures_a_day: float = 0.2
    """Of each worker: it is gone until its lease has ended and it is started again."""
    repair_seconds: float = 900.0
    lease_seconds: float = 120.0
    rows: float = 25.0
    row_bytes: float = 270.0
    results_bytes: int = 1_500_000
    keep_days: float = 7.0
    transactions: float = 12.0
    """That note events, for one study: they take turns (the lock of the feed)."""
    transaction_seconds: float = 0.002


@dataclass(frozen=True)
class Outcome:
    """How long studies waited for a worker, and how busy the workers were."""

    workers: int
    studies: int
    wait_p50_seconds: float
    wait_p99_seconds: float
    longest_wait_seconds: float
    busy_percent: float
    worked_twice: int


def arrivals(group: Group, days: int, rng: random.Random) -> Iterator[float]:
    """Instants of arrival: a Poisson process whose rate has the shape of a week."""
    mean_hour = group.studies_a_year / YEAR_DAYS / 24
    shape = sum(BY_HOUR) / 24
    for day in range(days):
        busiest = group.peak if day == days // 2 else 1.0
        weekday = BY_WEEKDAY[day % 7] * 7 / sum(BY_WEEKDAY)
        for hour, height in enumerate(BY_HOUR):
            rate = mean_hour * height / shape * weekday * busiest / HOUR
            at = day * DAY + hour * HOUR
            end = at + HOUR
            while (at := at + rng.expovariate(rate)) < end:
                yield at


def simulated(group: Group, workers: int, days: int = 7, seed: int = 9) -> Outcome:
    """A week with its busiest day in the middle."""
    rng = random.Random(seed)
    shape = 1 / group.spread**2
    free = [0.0] * workers
    heapq.heapify(free)
    waits: list[float] = []
    busy, twice = 0.0, 0
    chance = group.failures_a_day * group.work_seconds / DAY
    waiting: list[tuple[float, float]] = []
    for at in arrivals(group, days, rng):
        heapq.heappush(waiting, (at, at))
        while waiting and waiting[0][0] <= at:
            ready, came = heapq.heappop(waiting)
            start = max(ready, free[0])
            cost = rng.gammavariate(shape, group.work_seconds / shape)
            busy += cost
            if rng.random() < chance:
                # It dies with the study in hand; another takes it after the lease.
                twice += 1
                heapq.heapreplace(free, start + cost + group.repair_seconds)
                heapq.heappush(waiting, (start + group.lease_seconds, came))
                continue
            heapq.heapreplace(free, start + cost)
            waits.append(start - came)
    return _outcome(workers, waits, busy / (workers * days * DAY), twice)


def _outcome(workers: int, waits: list[float], share: float, twice: int) -> Outcome:
    cuts = quantiles(waits, n=100)
    return Outcome(
        workers, len(waits), round(cuts[49], 2), round(cuts[98], 2),
        round(max(waits), 1), round(100 * share, 1), twice,
    )  # fmt: skip


def needed(
    group: Group, limit_seconds: float = _LIMIT_SECONDS, days: int = 7
) -> Outcome:
    """About the least workers with which 99 of 100 studies wait within the limit."""
    rate = group.studies_a_year / YEAR_DAYS / DAY
    workers = max(1, int(rate * group.work_seconds))
    while (found := simulated(group, workers, days)).wait_p99_seconds > limit_seconds:
        workers += max(1, workers // 8)
    return found


def growth(group: Group) -> dict[str, float]:
    """Storage and database, and how near the single lock is to its limit."""
    a_day = group.studies_a_year / YEAR_DAYS
    peak_hour = (
        a_day * group.peak * max(BY_WEEKDAY) * 7 / sum(BY_WEEKDAY)
        * max(BY_HOUR) / sum(BY_HOUR)
    )  # fmt: skip
    study_bytes = group.instances * group.instance_bytes
    a_second = peak_hour / HOUR
    return {
        "studies a day": round(a_day),
        "studies in the busiest hour": round(peak_hour),
        "received in the busiest hour, MB/s": round(a_second * study_bytes / 1e6, 1),
        "store for the days kept, TB": round(
            a_day * group.keep_days * (study_bytes + group.results_bytes) / 1e12, 2
        ),
        "database a year, GB": round(
            group.studies_a_year * group.rows * group.row_bytes / 1e9, 1
        ),
        "event lock in the busiest hour, percent": round(
            100 * a_second * group.transactions * group.transaction_seconds, 1
        ),
        "studies/s at which the event lock is full": round(
            1 / (group.transactions * group.transaction_seconds), 1
        ),
    }


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench scaling")
    for name, value in asdict(Group()).items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(value), default=value)
    parser.add_argument("--days", type=int, default=7)
    given = vars(parser.parse_args(words))
    days = given.pop("days")
    group = replace(Group(), **given)
    print(json.dumps({"group": asdict(group)}))
    print(json.dumps({"growth": growth(group)}, indent=1))
    for times in _HEAVIER:
        heavier = replace(group, work_seconds=group.work_seconds * times)
        found = needed(heavier, _LIMIT_SECONDS, days)
        print(json.dumps({f"{heavier.work_seconds:g} s a study": asdict(found)}))
        one_more = simulated(heavier, found.workers + 1, days)
        print(json.dumps({"with one worker more": asdict(one_more)}), flush=True)
    return 0
