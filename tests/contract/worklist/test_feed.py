"""The change feed: in order, complete, and never a row behind a reader's back."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import text

from dicomnode.domain.instance import Disposition
from dicomnode.worklist import Worklist, open_views, open_worklist
from dicomnode.worklist.engine import Event
from tests.contract.worklist.conftest import MakeUrl
from tests.contract.worklist.making import NOON, received, some_uid


def test_events_are_read_in_portions(worklist: Worklist) -> None:
    for _ in range(5):
        worklist.intake.record(received(study=some_uid()))
    first = worklist.views.events(limit=2)
    rest = worklist.views.events(after_seq=first[-1]["seq"])
    assert [event["seq"] for event in (*first, *rest)] == [1, 2, 3, 4, 5]
    assert worklist.views.last_seq() == 5


def test_an_empty_feed(worklist: Worklist) -> None:
    assert worklist.views.events() == []
    assert worklist.views.last_seq() == 0


def test_a_follower_sees_every_event_once_and_in_order(url: str) -> None:
    n_writers, n_each = 3, 15
    done = threading.Event()

    def write(_: int) -> None:
        with open_worklist(url) as worklist:
            for _ in range(n_each):
                worklist.intake.record(received(study=some_uid()))

    def follow() -> list[int]:
        seen: list[int] = []
        views = open_views(url)
        while not done.is_set():
            seen += [one["seq"] for one in views.events(after_seq=(seen or [0])[-1])]
        seen += [one["seq"] for one in views.events(after_seq=(seen or [0])[-1])]
        views.close()
        return seen

    with ThreadPoolExecutor(n_writers + 1) as pool:
        follower = pool.submit(follow)
        try:
            list(pool.map(write, range(n_writers)))
        finally:
            done.set()
        seen = follower.result()
    assert len(seen) == len(set(seen)) == n_writers * n_each
    assert seen == sorted(seen)


def test_on_postgresql_a_later_event_waits_for_an_earlier_commit(
    make_postgresql: MakeUrl,
) -> None:
    with open_worklist(make_postgresql()) as worklist, ThreadPoolExecutor(1) as pool:
        database = worklist._database
        with database.write() as slow:
            slow.note(Event(NOON, "study test", None, "1.2.3"))
            slow.flush()
            quick = pool.submit(worklist.intake.record, received())
            assert waits_for_the_event_lock(worklist, quick)
            assert worklist.views.events() == []
            slow._events.clear()
        quick.result()
        uids = [event["study_instance_uid"] for event in worklist.views.events()]
    assert uids == ["1.2.3", received().key.study_instance_uid]


def waits_for_the_event_lock(worklist: Worklist, quick: Future[Disposition]) -> bool:
    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    )
    while not quick.done():
        with worklist._database.read() as connection:
            if connection.execute(waiting).scalar():
                return True
    return False


def test_events_of_a_failed_transaction_are_not_there(worklist: Worklist) -> None:
    class Broken(Exception):
        pass

    def write_and_break() -> None:
        with worklist._database.write() as transaction:
            transaction.note(Event(NOON, "study test", None))
            transaction.flush()
            raise Broken

    with pytest.raises(Broken):
        write_and_break()
    assert worklist.views.events() == []
