"""Any number of workers on one queue: each takes its part, nothing is done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from types import SimpleNamespace
from typing import cast

from dicomnode.domain.instance import Instance
from dicomnode.domain.job import Job, Outcome
from dicomnode.processes.clock import SystemClock
from dicomnode.worker.loop import LoopPolicy, WorkerFacts, WorkerLoop
from dicomnode.worker.pipeline import Analysis, Pipeline
from dicomnode.worklist import open_worklist
from tests.contract.worklist.making import new_result, scheduled, some_uid

N_WORKERS = 4
N_JOBS = 24
PATIENCE_SECONDS = 120


class MeetingPipeline:
    """Its first analysis waits until every worker has one in hand."""

    bundle = SimpleNamespace(name="meeting", version="1", parameters={})
    of_series = False

    def __init__(self, everyone: Barrier) -> None:
        self._everyone = everyone
        self.analysed: list[str] = []

    def analyse(
        self, job: Job, instances: Sequence[Instance], earlier: Sequence[object] = ()
    ) -> Analysis:
        if not self.analysed:
            self._everyone.wait(PATIENCE_SECONDS)
        self.analysed.append(job.job_id)
        result = new_result(1, "PACS", study=job.study_instance_uid)
        return Analysis(Outcome.ANALYSED, "", (result,))


def work(url: str, name: str, everyone: Barrier) -> list[str]:
    """A worker as its process runs it, until nothing is left to do."""
    pipeline, stop = MeetingPipeline(everyone), Event()
    policy = LoopPolicy(600, 60, 0.02, (1,), concurrent_jobs=1)
    with open_worklist(url) as worklist, ThreadPoolExecutor(1) as looking:
        facts = WorkerFacts(name, "here", "none")
        pipelines = {"cxr": cast(Pipeline, pipeline)}
        loop = WorkerLoop(facts, pipelines, worklist.jobs, SystemClock(), policy)

        def stop_at_end() -> None:
            while worklist.jobs.n_unfinished(1):
                stop.wait(0.02)
            stop.set()

        watched = looking.submit(stop_at_end)
        assert loop.run(stop)
        watched.result()
    return pipeline.analysed


def test_workers_share_one_queue_and_do_nothing_twice(url: str) -> None:
    with open_worklist(url) as worklist:
        for _ in range(N_JOBS):
            scheduled(worklist, study=some_uid())
    everyone = Barrier(N_WORKERS)
    with ThreadPoolExecutor(N_WORKERS) as pool:
        answers = [
            pool.submit(work, url, f"w{number}", everyone)
            for number in range(N_WORKERS)
        ]
        parts = [answer.result() for answer in answers]
    assert all(parts), "every worker took its part"
    assert max(Counter(one for part in parts for one in part).values()) == 1
    with open_worklist(url) as worklist:
        rows = worklist.views.worklist()
        kinds = Counter(one["kind"] for one in worklist.views.events())
        told = {one["worker_id"]: one["n_jobs"] for one in worklist.views.workers()}
        counts = worklist.views.counts()
        assert len(worklist.views.deliveries()) == N_JOBS
    assert {row["job_id"] for row in rows} == {one for part in parts for one in part}
    assert {(row["job_state"], row["attempts"]) for row in rows} == {("COMPLETED", 1)}
    assert kinds["job claim"] == kinds["job finish"] == N_JOBS
    assert told == {f"w{number}": len(part) for number, part in enumerate(parts)}
    assert counts["job"]["COMPLETED"] == counts["delivery"]["PENDING"] == N_JOBS
