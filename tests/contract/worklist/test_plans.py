"""The queries that run all day use their indexes, however many rows there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, event, text

from dicomnode.ports import EndedStudy
from dicomnode.worklist import Worklist, open_worklist
from tests.contract.worklist.conftest import MakeUrl
from tests.contract.worklist.making import NOON, STUDY, after

Act = Callable[[Worklist], object]

ACTS: dict[str, tuple[Act, str]] = {
    "claim": (lambda w: w.jobs.claim("w1", ["a", "b"], NOON, 60), "ix_jobs_claim"),
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
def queries(worklist: Worklist) -> Iterator[list[tuple[str, object]]]:
    """The statements that really run."""
    seen: list[tuple[str, object]] = []

    def note(*arguments: object) -> None:
        seen.append((str(arguments[2]), arguments[3]))

    engine = worklist._database._reader
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def selects(worklist: Worklist, act: Act) -> list[tuple[str, object]]:
    with queries(worklist) as seen:
        act(worklist)
    return [one for one in seen if one[0].lstrip().startswith("SELECT")]


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
    "name", ["claim", "following", "due", "unconfirmed", "newest", "events", "ended"]
)
def test_nothing_is_sorted_before_the_limit(make_sqlite: MakeUrl, name: str) -> None:
    with open_worklist(make_sqlite()) as worklist:
        found = selects(worklist, ACTS[name][0])
        with worklist._database.read() as connection:
            plan = "\n".join(sqlite_plan(connection, *one) for one in found)
    assert "TEMP B-TREE FOR ORDER BY" not in plan
    assert "AUTOMATIC" not in plan
