"""What a worker says of its own speed."""

from __future__ import annotations

from dicomnode.worker.throughput import Throughput


class Hands:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_only_the_last_hour_counts() -> None:
    clock = Hands()
    done = Throughput(clock)
    assert done.per_hour() == 0
    for _ in range(6):
        clock.now += 600
        done.note()
    assert (done.n_jobs, done.per_hour()) == (6, 6)
    clock.now += 1801
    assert done.per_hour() == 3
    clock.now += 3600
    assert (done.n_jobs, done.per_hour()) == (6, 0)


def test_a_young_worker_is_not_a_slow_one() -> None:
    clock = Hands()
    done = Throughput(clock)
    clock.now += 60
    done.note()
    assert done.per_hour() == 60
