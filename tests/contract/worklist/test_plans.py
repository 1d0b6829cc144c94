"""The queries that run all day use their indexes, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from dicomnode.ports import EndedStudy
from dicomnode.worklist import Worklist, open_worklist
from dicomnode.worklist.engine import walk_in_order
from dicomnode.worklist.schema import jobs, revisions, studies
from tests.contract.worklist.conftest import MakeUrl
from tests.contract.worklist.making import NOON, STUDY, after

Act = Callable[[Worklist], object]

ACTS: dict[str, tuple[Act, str]] = {
    "completion": (lambda w: w.studies.receiving(), "ix_revisions_state"),
    "routing": (lambda w: w.studies.unrouted(), "ix_revisions_state"),
    "following": (lambda w: w.studies.unfollowed(9), "ix_jobs_unfollowed"),
    "due": (lambda w: w.outbox.due("PACS", NOON, 60, 9), "ix_deliveries_due"),
    "unconfirmed": (
        lambda w: w.commitments.unconfirmed("PACS", NOON, 60, 9),
        "ix_deliveries_check",
    ),
    "reap": (lambda w: w.upkeep.reap(NOON, 3), "ix_jobs_claim"),
    "instances": (lambda w: w.studies.instances(STUDY), "ix_instances_study"),
    "ended": (lambda w: w.upkeep.ended(after(9), 9), "ix_revisions_kept"),
    "ended, next": (
        lambda w: w.upkeep.ended(after(9), 9, EndedStudy(STUDY, NOON, NOON)),
        "ix_revisions_kept",
    ),
    "oldest job": (lambda w: w.views.oldest(), "ix_jobs_claim"),
    "oldest study": (lambda w: w.views.oldest(), "ix_revisions_state"),
    "unrouted": (lambda w: w.views.unrouted(NOON), "ix_revisions_state"),
    "late": (lambda w: w.views.late(), "ix_deliveries_late"),
    "stranded": (
        lambda w: w.views.stranded(()),
        "ix_deliveries_due|ix_deliveries_check",
    ),
    "queued since": (lambda w: w.views.workers(), "ix_jobs_waiting"),
    "expired": (
        lambda w: w.upkeep.expired(STUDY, after(9)),
        "sqlite_autoindex_revisions_1|studies_pkey",
    ),
    "newest": (lambda w: w.views.worklist(limit=50), "ix_revisions_received_at"),
    "since": (lambda w: w.views.worklist(since=NOON), "ix_revisions_received_at"),
    "job state": (lambda w: w.views.worklist(state="FAILED"), "ix_jobs_claim"),
    "job": (lambda w: w.views.job("7f"), "jobs_pkey|sqlite_autoindex_jobs_1"),
    "events": (lambda w: w.views.events(7), "events_pkey|INTEGER PRIMARY KEY"),
    "deliveries": (lambda w: w.views.deliveries("7f"), "ix_deliveries_job"),
    "refused": (
        lambda w: w.views.associations(refused_only=True),
        "ix_associations_accepted",
    ),
}


@contextmanager
def queries(
    worklist: Worklist, *, writing: bool = False
) -> Iterator[list[tuple[str, object]]]:
    """The statements that really run."""
    database = worklist._database
    engine = database._writer if writing else database._reader
    if database.is_sqlite:
        with traced(engine) as seen:
            yield seen
        return
    seen = []

    def note(*arguments: object) -> None:
        seen.append((str(arguments[2]), arguments[3]))

    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


@contextmanager
def traced(engine: Engine) -> Iterator[list[tuple[str, object]]]:
    """What SQLite runs, whoever has it do so, with the values written in."""
    seen: list[tuple[str, object]] = []

    def begin(driver: Any, _record: object, _proxy: object) -> None:
        driver.set_trace_callback(lambda query: seen.append((query, ())))

    def end(driver: Any, _record: object) -> None:
        driver.set_trace_callback(None)

    event.listen(engine, "checkout", begin)
    event.listen(engine, "checkin", end)
    yield seen
    event.remove(engine, "checkout", begin)
    event.remove(engine, "checkin", end)


def selects(worklist: Worklist, act: Act) -> list[tuple[str, object]]:
    with queries(worklist) as seen:
        act(worklist)
    found = [one for one in seen if one[0].lstrip().startswith("SELECT")]
    assert found
    return found


def sqlite_plan(connection: Connection, query: str, values: object) -> str:
    explained = f"EXPLAIN QUERY PLAN {query}"
    return "\n".join(
        str(row[3])
        for row in connection.exec_driver_sql(explained, values)  # type: ignore[arg-type]  # as recorded
    )


def postgresql_plan(connection: Connection, query: str, values: object) -> str:
    # The tables of the test are empty: ask whether the index serves, not whether it
    # pays.
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    connection.execute(text("SET LOCAL enable_bitmapscan = off"))
    explained = f"EXPLAIN {query}"
    return "\n".join(
        str(row[0])
        for row in connection.exec_driver_sql(explained, values)  # type: ignore[arg-type]  # as recorded
    )


@pytest.mark.parametrize("name", ACTS)
def test_an_index_serves(worklist: Worklist, url: str, name: str) -> None:
    act, indexes = ACTS[name]
    explain = sqlite_plan if url.startswith("sqlite") else postgresql_plan
    found = selects(worklist, act)
    with worklist._database.read() as connection:
        plan = "\n".join(explain(connection, *one) for one in found)
    assert any(index in plan for index in indexes.split("|")), plan


@pytest.mark.parametrize(
    "name", ["following", "due", "unconfirmed", "newest", "events", "ended"]
)
def test_nothing_is_sorted_before_the_limit(make_sqlite: MakeUrl, name: str) -> None:
    with open_worklist(make_sqlite()) as worklist:
        found = selects(worklist, ACTS[name][0])
        with worklist._database.read() as connection:
            plan = "\n".join(sqlite_plan(connection, *one) for one in found)
    assert "TEMP B-TREE FOR ORDER BY" not in plan
    assert "AUTOMATIC" not in plan


N_WAITING = 2000


def deep_queue(worklist: Worklist) -> None:
    """Many jobs that wait, and nobody has told PostgreSQL's statistics of them."""
    with worklist._database.write() as transaction:
        for table, row in (
            (studies, {"revision": 1}),
            (revisions, {**REVISION, "state": "ROUTED"}),
            (jobs, JOB),
        ):
            rows = [
                {"study_instance_uid": f"2.25.{n}", **row}
                | ({"job_id": f"{n:08}"} if table is jobs else {})
                for n in range(N_WAITING)
            ]
            transaction.insert(table, rows)


REVISION = {
    "revision": 1, "received_at": NOON, "last_instance_at": NOON, "forced": False
}  # fmt: skip
JOB = {
    "revision": 1, "pipeline": "cxr", "priority": 0, "state": "SCHEDULED",
    "scheduled_at": NOON, "not_before": NOON,
}  # fmt: skip


def test_postgresql_claims_from_a_deep_queue_by_walking(
    make_postgresql: MakeUrl,
) -> None:
    with open_worklist(make_postgresql()) as worklist:
        deep_queue(worklist)
        with queries(worklist, writing=True) as seen:
            [job] = worklist.jobs.claim("w1", ["cxr", "qc"], after(1), 60)
        assert job.job_id == f"{0:08}"
        [claiming] = [one for one in seen if "FOR UPDATE" in one[0]]
        with worklist._database.write() as transaction:
            walk_in_order(transaction.connection)
            found = transaction.connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE) {claiming[0]}",
                claiming[1],  # type: ignore[arg-type]  # as recorded
            )
            plan = "\n".join(str(row[0]) for row in found)
    assert "ix_jobs_claim" in plan
    assert "Sort" not in plan
    # It stops at the first; the claimed one before it may still be in the index.
    [line] = [one for one in plan.splitlines() if "ix_jobs_claim" in one]
    assert "rows=1 loops=1" in line.replace(".00", ""), plan
