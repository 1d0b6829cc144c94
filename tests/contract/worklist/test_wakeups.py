"""A commit of another process ends a wait; without the message polling goes on."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Thread

import pytest
from sqlalchemy import text

from dicomnode.ports.waking import DELIVERY_KINDS, JOB_KINDS
from dicomnode.processes.deliver import Rest
from dicomnode.worklist import Worklist, open_views, open_worklist
from tests.contract.worklist.conftest import MakeUrl
from tests.contract.worklist.making import (
    NOON,
    finished,
    new_result,
    scheduled,
    some_uid,
)

HANG_SECONDS = 60
HOUR = 3600


@pytest.fixture
def url(make_postgresql: MakeUrl) -> str:
    return make_postgresql()


@pytest.fixture
def other(url: str) -> Iterator[Worklist]:
    """The worklist of another process."""
    with open_worklist(url) as opened:
        yield opened


def listening(worklist: Worklist) -> None:
    assert worklist.wakeups.listening.wait(HANG_SECONDS)


def rung(worklist: Worklist, kinds: frozenset[str] = JOB_KINDS) -> Event:
    """An event that is set from now on when one of these kinds is committed."""
    event = Event()
    worklist.wakeups.subscribe(kinds, event.set)
    listening(worklist)
    # What it rings at the beginning of listening has come once another rings.
    return event


def test_a_job_of_another_process_wakes(worklist: Worklist, other: Worklist) -> None:
    event = rung(worklist)
    scheduled(other, study=some_uid())
    assert event.wait(HANG_SECONDS)


def test_only_what_is_waited_for_wakes(worklist: Worklist, other: Worklist) -> None:
    seen: list[str] = []
    worklist.wakeups.subscribe({"delivery schedule"}, lambda: seen.append("delivery"))
    last = rung(worklist, frozenset({"job finish"}))
    # It listens already, and has still to ring all for what came before.
    finished(other, study=some_uid())
    assert last.wait(HANG_SECONDS)
    seen.clear()
    last.clear()
    scheduled(other, study=some_uid())
    finished(other, study=some_uid())
    assert last.wait(HANG_SECONDS)
    assert seen == []


def test_a_courier_waits_for_an_hour_and_goes_at_once(
    worklist: Worklist, other: Worklist
) -> None:
    stop = Event()
    rest = Rest(HOUR, stop)
    worklist.wakeups.subscribe(DELIVERY_KINDS, rest.end)
    listening(worklist)
    rest.take()
    finishing = Thread(target=finished, args=(other, new_result(1, "PACS")))
    finishing.start()
    rest.take()
    finishing.join()
    assert len(worklist.outbox.due("PACS", NOON, 60, 10)) == 1
    assert not rest.is_for_good


def test_a_reader_of_events_is_woken(url: str, other: Worklist) -> None:
    views = open_views(url)
    event = Event()
    leave = views.subscribe(event.set)
    assert views._database.wakeups.listening.wait(HANG_SECONDS)
    scheduled(other)
    assert event.wait(HANG_SECONDS)
    leave()
    assert views._database.wakeups._subscribers == []
    views.close()


def test_a_lost_connection_is_made_again_and_all_look_once(
    worklist: Worklist, other: Worklist
) -> None:
    worklist.wakeups._again_seconds = 0.01
    event = rung(worklist)
    scheduled(other, study=some_uid())
    assert event.wait(HANG_SECONDS)
    with other._database.write() as transaction:
        ended = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE query LIKE 'LISTEN%'"
        )
        assert transaction.connection.execute(ended).all()
    event.clear()
    # Committed while nobody listens, perhaps: the new connection rings for it.
    scheduled(other, study=some_uid())
    assert event.wait(HANG_SECONDS)
    listening(worklist)


def test_without_the_message_a_look_finds_it(url: str, other: Worklist) -> None:
    """The keeper, the workers and the couriers poll whatever they are told."""
    with open_worklist(url) as deaf:
        scheduled(other)
        [job] = deaf.jobs.claim("w1", ["cxr"], NOON, 60)
        assert job.worker_id == "w1"
        assert deaf.wakeups._listener is None


def test_on_sqlite_the_own_process_is_woken(make_sqlite: MakeUrl) -> None:
    with open_worklist(make_sqlite()) as worklist:
        event = Event()
        worklist.wakeups.subscribe(JOB_KINDS, event.set)
        scheduled(worklist)
        assert event.is_set()
