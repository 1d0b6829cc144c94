"""Several threads and processes at once: nothing twice, nothing lost."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import pytest

from dicomnode.errors import WorklistError
from dicomnode.worklist import Worklist, check, open_worklist, upgrade
from tests.contract.worklist.making import (
    NOON,
    after,
    finished,
    new_result,
    received,
    scheduled,
    some_uid,
)
from tests.contract.worklist.racing import claim_all, record_all

N_JOBS = 12
N_INSTANCES = 20


Run = Callable[..., list[str]]


@pytest.fixture(scope="module")
def in_processes() -> Iterator[Run]:
    """A function that runs a task in two processes at once."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:

        def run(task: Run, *calls: tuple[object, ...]) -> list[str]:
            answers = [pool.submit(task, *call) for call in calls]
            return [one for answer in answers for one in answer.result()]

        yield run


def in_threads(task: Run, *calls: tuple[object, ...]) -> list[str]:
    start = threading.Barrier(len(calls))

    def run(call: tuple[object, ...]) -> list[str]:
        start.wait()
        return task(*call)

    with ThreadPoolExecutor(len(calls)) as pool:
        return [one for answer in pool.map(run, calls) for one in answer]


@pytest.fixture(params=["threads", "processes"])
def run(request: pytest.FixtureRequest) -> Run:
    """A function that runs a task several times at once."""
    if request.param == "threads":
        return in_threads
    found: Run = request.getfixturevalue("in_processes")
    return found


def test_no_job_is_claimed_twice(worklist: Worklist, url: str, run: Run) -> None:
    jobs = [scheduled(worklist, study=some_uid())[0].job_id for _ in range(N_JOBS)]
    taken = run(claim_all, (url, "w1"), (url, "w2"))
    assert sorted(taken) == sorted(jobs)


def test_the_same_instances_from_two_receivers(
    worklist: Worklist, url: str, run: Run
) -> None:
    both = run(record_all, (url, range(N_INSTANCES)), (url, range(N_INSTANCES)))
    assert Counter(both) == {"new": N_INSTANCES, "duplicate": N_INSTANCES}
    (study,) = worklist.studies.receiving()
    assert study.n_instances == N_INSTANCES
    assert len(worklist.studies.instances(study.study_instance_uid)) == N_INSTANCES


def test_threads_of_one_process_share_a_worklist(worklist: Worklist) -> None:
    def send(series: int) -> list[str]:
        numbers = range(N_INSTANCES)
        return [
            worklist.intake.record(received(n, series=series)).value for n in numbers
        ]

    every = in_threads(send, (1,), (2,), (3,), (3,))
    assert Counter(every) == {"new": 3 * N_INSTANCES, "duplicate": N_INSTANCES}
    (study,) = worklist.studies.receiving()
    assert (study.n_series, study.n_instances) == (3, 3 * N_INSTANCES)


def test_different_content_at_the_same_time(worklist: Worklist, url: str) -> None:
    def send(content: str) -> list[str]:
        with open_worklist(url) as own:
            return [own.intake.record(received(content=content)).value]

    contents = [("a",), ("b",), ("c",), ("d",)]
    every = in_threads(send, *contents)
    assert Counter(every) == {"new": 1, "conflict": 3}
    (study,) = worklist.studies.receiving()
    assert study.n_instances == 1


def test_a_bad_instance_does_not_fail_the_others(worklist: Worklist) -> None:
    naive = NOON.replace(tzinfo=None)

    def send(number: int) -> list[str]:
        instance = received(number)
        if number % 3 == 0:
            instance = replace(instance, received_at=naive)
        try:
            return [worklist.intake.record(instance).value]
        except WorklistError as error:
            return [type(error).__name__]

    every = in_threads(send, *((number,) for number in range(9)))
    assert Counter(every) == {"new": 6, "WorklistError": 3}


def test_completion_races_with_a_late_instance(worklist: Worklist, url: str) -> None:
    """Whoever is first: the instance is in a revision that is still to be routed."""
    worklist.intake.record(received(1))
    (study,) = worklist.studies.receiving()

    def complete() -> list[str]:
        with open_worklist(url) as own:
            return [str(own.studies.complete(study, after(1)))]

    def send() -> list[str]:
        with open_worklist(url) as own:
            return [own.intake.record(received(2, at=after(1))).value]

    answers = in_threads(lambda act: act(), (complete,), (send,))
    (now,) = worklist.studies.receiving()
    assert now.n_instances == 2
    assert now.revision == (2 if "True" in answers else 1)


def test_deliveries_are_given_out_once(worklist: Worklist, url: str) -> None:
    for number in range(N_JOBS):
        finished(worklist, new_result(number, "PACS"), study=some_uid())

    def take(_: int) -> list[str]:
        mine: list[str] = []
        with open_worklist(url) as own:
            while due := own.outbox.due("PACS", NOON, 60, 2):
                mine += [str(delivery.delivery_id) for delivery in due]
        return mine

    taken = in_threads(take, (1,), (2,), (3,))
    assert len(taken) == len(set(taken)) == N_JOBS


def test_one_leader_of_many(worklist: Worklist, url: str) -> None:
    def lead(holder: str) -> list[str]:
        with open_worklist(url) as own:
            return [str(own.upkeep.lead(holder, NOON, 60))]

    assert Counter(in_threads(lead, ("a",), ("b",), ("c",))) == {"True": 1, "False": 2}


def test_roles_that_start_at_once_migrate_once(make_url: Callable[..., str]) -> None:
    url = make_url(migrated=False)

    def start(_: int) -> list[str]:
        return [upgrade(url)]

    assert len(set(in_threads(start, (1,), (2,), (3,)))) == 1
    assert check(url) == upgrade(url)
