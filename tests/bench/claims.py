"""`python -m tests.bench claims`: the queue under many workers.

Claims each second by 1, 2 and 4 processes that do nothing else, on SQLite and on a
PostgreSQL that syncs, with every claim counted: none may be given out twice. Then the
whole loop of a worker, with a pipeline that takes a fixed time and no processor.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from threading import Event
from time import monotonic, sleep
from types import SimpleNamespace

import structlog

from dicomnode.domain.job import Outcome, job_id_of
from dicomnode.processes.clock import SystemClock
from dicomnode.worker.loop import LoopPolicy, WorkerFacts, WorkerLoop
from dicomnode.worker.pipeline import Analysis
from dicomnode.worklist import Worklist, open_worklist, upgrade
from dicomnode.worklist.engine import open_database
from dicomnode.worklist.schema import jobs, revisions, studies
from tests.bench.servers import KINDS, OPENED

PIPELINE = "cxr"
WORKERS = (1, 2, 4)
CONCURRENT_JOBS = 4
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
_LEASE_SECONDS = 36_000
_AT_ONCE = 5000
_LOOK_SECONDS = 0.05
Task = Callable[..., list[str]]


def scheduled(url: str, number: int) -> None:
    """Put so many jobs that wait into an empty worklist."""
    with closing(open_database(url)) as database:
        for start in range(0, number, _AT_ONCE):
            uids = [f"2.25.{n}" for n in range(start, min(number, start + _AT_ONCE))]
            with database.write() as transaction:
                for table, row in ((studies, _study), (revisions, _revision)):
                    transaction.insert(table, [row(uid) for uid in uids])
                transaction.insert(jobs, [_job(uid) for uid in uids])


def twice(url: str, taken: Sequence[str], number: int) -> int:
    """How many jobs were given out more than once; each must have been once.

    By what the processes got, and by the rows, the events and the counts of the node.
    """
    with open_worklist(url) as worklist:
        claims = "SELECT count(*) AS n FROM v1_events WHERE kind = 'job claim'"
        again = "SELECT count(*) AS n FROM v1_worklist WHERE attempts > 1"
        n_claims, n_again = (
            int(worklist.views._run(query, {})[0]["n"]) for query in (claims, again)
        )
        n_running = worklist.views.counts()["job"]["IN_PROGRESS"]
    assert len(set(taken)) == n_running == number, f"{n_running} of {number} claimed"
    assert n_claims == len(taken)
    return max(len(taken) - len(set(taken)), n_again)


def _study(uid: str) -> dict[str, object]:
    return {"study_instance_uid": uid, "revision": 1}


def _revision(uid: str) -> dict[str, object]:
    at = {"received_at": NOON, "last_instance_at": NOON, "routed_at": NOON}
    return {**_study(uid), "state": "ROUTED", "forced": False, "n_instances": 1, **at}


def _job(uid: str) -> dict[str, object]:
    return {
        **_study(uid), "job_id": job_id_of(uid, 1, PIPELINE), "pipeline": PIPELINE,
        "priority": 0, "state": "SCHEDULED", "scheduled_at": NOON, "not_before": NOON,
    }  # fmt: skip


def claim_all(url: str, worker_id: str) -> list[str]:
    """Claim one after the other until none is left."""
    mine: list[str] = []
    with open_worklist(url) as worklist:
        while taken := worklist.jobs.claim(worker_id, [PIPELINE], NOON, _LEASE_SECONDS):
            mine += [one.job_id for one in taken]
    return mine


class _FixedCost:
    """A pipeline whose analysis takes a fixed time and no processor."""

    bundle = SimpleNamespace(name="fixed-cost", version="1", parameters={})
    of_series = False

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def analyse(self, *_about: object) -> Analysis:
        sleep(self._seconds)
        return Analysis(Outcome.ANALYSED, "", ())


def work_all(url: str, worker_id: str, seconds: float) -> list[str]:
    """The loop of a worker until the queue is empty."""
    only_warnings = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=only_warnings)
    policy = LoopPolicy(
        _LEASE_SECONDS, 3600, 0.01, (1,), concurrent_jobs=CONCURRENT_JOBS
    )
    with open_worklist(url) as worklist, ThreadPoolExecutor(1) as watcher:
        loop = WorkerLoop(
            WorkerFacts(worker_id, "bench", "none"),
            {PIPELINE: _FixedCost(seconds)},  # type: ignore[dict-item]
            worklist.jobs,
            SystemClock(),
            policy,
        )
        stop = Event()
        watcher.submit(_stop_at_end, worklist, stop)
        loop.run(stop)
    return []


def _stop_at_end(worklist: Worklist, stop: Event) -> None:
    while worklist.jobs.n_unfinished(1):
        sleep(_LOOK_SECONDS)
    stop.set()


class _Told:
    """Prints each figure of one kind of database."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def say(self, name: str, figure: float) -> None:
        print(json.dumps({"database": self._kind, name: figure}), flush=True)


def timed(
    task: Task, url: str, n_workers: int, *more: object
) -> tuple[float, list[str]]:
    """Run ``task`` in so many processes at once: seconds, and what they give."""
    with ProcessPoolExecutor(n_workers, mp_context=get_context("fork")) as pool:
        list(pool.map(abs, range(n_workers * 4)))
        began = monotonic()
        answers = [
            pool.submit(task, url, f"w{number}", *more) for number in range(n_workers)
        ]
        found = [one for answer in answers for one in answer.result()]
        return monotonic() - began, found


@contextmanager
def _queue(kind: str, number: int) -> Iterator[str]:
    """A worklist of its own with so many jobs that wait."""
    with OPENED[kind]() as url:
        upgrade(url)
        scheduled(url, number)
        yield url


def measured(
    kind: str, n_jobs: int, n_studies: int, seconds: float, workers: Sequence[int]
) -> None:
    """The figures of one kind of database, each printed as it comes."""
    figures = _Told(kind)
    for n_workers in workers:
        with _queue(kind, n_jobs) as url:
            elapsed, taken = timed(claim_all, url, n_workers)
            n_twice = twice(url, taken, n_jobs)
        figures.say(f"claims/s, {n_workers} processes", round(n_jobs / elapsed))
        figures.say(f"claimed twice of {n_jobs}, {n_workers} processes", n_twice)
        assert not n_twice
    if n_studies:
        waiting(kind, n_studies, seconds, workers)


def waiting(kind: str, n_studies: int, seconds: float, workers: Sequence[int]) -> None:
    """Studies each second by workers whose analysis only waits, as for a GPU."""
    figures = _Told(kind)
    for n_workers in workers:
        with _queue(kind, n_studies) as url:
            elapsed, _ = timed(work_all, url, n_workers, seconds)
            done_once(url, n_studies)
        rate = round(n_studies / elapsed, 1)
        most = n_workers * CONCURRENT_JOBS / seconds
        what = f"studies/s, {n_workers} workers that wait {seconds:g} s as for a GPU"
        figures.say(f"{what} (at most {most:g})", rate)


def done_once(url: str, number: int) -> None:
    """Every job has ended, after one claim each and with one result of its end."""
    with open_worklist(url) as worklist:
        events = "SELECT kind, count(*) AS n FROM v1_events GROUP BY kind"
        kinds = {row["kind"]: row["n"] for row in worklist.views._run(events, {})}
        assert worklist.views.counts()["job"]["COMPLETED"] == number
    assert kinds["job claim"] == kinds["job finish"] == number, kinds


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench claims")
    parser.add_argument("--jobs", type=int, default=5_000, help="to claim")
    parser.add_argument("--studies", type=int, default=240, help="to work on; 0: none")
    parser.add_argument("--seconds", type=float, default=0.5, help="that each takes")
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--kind", choices=KINDS, action="append")
    given = parser.parse_args(words)
    for kind in given.kind or KINDS:
        measured(kind, given.jobs, given.studies, given.seconds, given.workers)
    return 0
