"""`python -m tests.bench claims`: the queue under many workers.

Claims each second by 1, 2 and 4 processes that do nothing else, on SQLite and on a
PostgreSQL that syncs, with every claim counted: none may be given out twice. Then the
whole loop of a worker, with a pipeline that takes a fixed time and no processor.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing import get_context
from threading import Event
from time import monotonic, sleep
from types import SimpleNamespace

import structlog
from sqlalchemy import insert

from dicomnode.domain.job import Outcome, job_id_of
from dicomnode.processes.clock import SystemClock
from dicomnode.worker.loop import LoopPolicy, WorkerFacts, WorkerLoop
from dicomnode.worker.pipeline import Analysis
from dicomnode.worklist import open_worklist, upgrade
from dicomnode.worklist.engine import open_database
from dicomnode.worklist.schema import jobs, metadata, revisions, studies
from tests.bench.servers import KINDS, OPENED

PIPELINE = "cxr"
WORKERS = (1, 2, 4)
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
_LEASE_SECONDS = 36_000
_AT_ONCE = 5000
Task = Callable[..., list[str]]


def scheduled(url: str, number: int) -> None:
    """Replace what is there with so many jobs that wait."""
    with closing(open_database(url)) as database:
        with database.write() as transaction:
            for table in reversed(metadata.sorted_tables):
                transaction.execute(table.delete())
        for start in range(0, number, _AT_ONCE):
            numbers = range(start, min(number, start + _AT_ONCE))
            with database.write() as transaction:
                for table, row in (
                    (studies, _study),
                    (revisions, _revision),
                    (jobs, _job),
                ):
                    transaction.connection.execute(
                        insert(table), [row(f"2.25.{one}") for one in numbers]
                    )


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

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def analyse(self, *_about: object) -> Analysis:
        sleep(self._seconds)
        return Analysis(Outcome.ANALYSED, "", ())


def work_all(url: str, worker_id: str, seconds: float) -> list[str]:
    """The loop of a worker until the queue is empty."""
    only_warnings = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=only_warnings)
    policy = LoopPolicy(_LEASE_SECONDS, 3600, 0.01, (1,), concurrent_jobs=4)
    with open_worklist(url) as worklist:
        loop = WorkerLoop(
            WorkerFacts(worker_id, "bench", "none"),
            {PIPELINE: _FixedCost(seconds)},  # type: ignore[dict-item]
            worklist.jobs,
            SystemClock(),
            policy,
        )
        stop = Event()
        while loop.run_once():
            pass
        stop.set()
    return []


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


def measured(
    kind: str, n_jobs: int, n_studies: int, seconds: float, workers: Sequence[int]
) -> None:
    """The figures of one kind of database, each printed as it comes."""
    figures = _Told(kind)
    with OPENED[kind]() as url:
        upgrade(url)
        for n_workers in workers:
            scheduled(url, n_jobs)
            elapsed, taken = timed(claim_all, url, n_workers)
            twice = len(taken) - len(set(taken))
            figures.say(f"claims/s, {n_workers} processes", round(n_jobs / elapsed))
            figures.say(f"claimed twice of {n_jobs}, {n_workers} processes", twice)
            assert len(taken) == n_jobs
        for n_workers in workers:
            scheduled(url, n_studies)
            elapsed, _ = timed(work_all, url, n_workers, seconds)
            rate = round(n_studies / elapsed, 1)
            wait = f"{seconds:g} s as for a GPU"
            what = f"studies/s, {n_workers} workers that wait {wait}"
            figures.say(what, rate)


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench claims")
    parser.add_argument("--jobs", type=int, default=5_000, help="to claim")
    parser.add_argument("--studies", type=int, default=400, help="to work on")
    parser.add_argument("--seconds", type=float, default=0.1, help="that each takes")
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--kind", choices=KINDS, action="append")
    given = parser.parse_args(words)
    for kind in given.kind or KINDS:
        measured(kind, given.jobs, given.studies, given.seconds, given.workers)
    return 0
