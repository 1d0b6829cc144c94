"""No query that runs all day reads a growing table from end to end (SQLite's plans)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from dicomnode.cli.embedded import EmbeddedViews
from dicomnode.domain.association import Association, Refusal
from dicomnode.domain.job import Outcome
from dicomnode.ports import EndedStudy
from dicomnode.worklist import Worklist, open_worklist
from dicomnode.worklist.schema import metadata
from tests.contract.worklist.conftest import MakeUrl
from tests.contract.worklist.making import (
    NOON,
    STUDY,
    after,
    claimed,
    current,
    delivered,
    finished,
    new_job,
    new_result,
    received,
    scheduled,
)

Act = Callable[[Worklist], object]

FEW_ROWS = {"workers", "leaders", "chores", "absences", "pauses", "state_counts"}
GROWING = set(metadata.tables) - FEW_ROWS - {"alembic_version"}
"""What has a row for each process, or one at all, does not grow with the studies.

The counts by state are folded before there are many.
"""


def record_everything(worklist: Worklist) -> None:
    record = worklist.intake.record
    record(received(1))
    record(received(2))
    record(received(2))
    record(received(2, content="other"))
    association = Association(NOON, "CT1", "DICOMNODE", "127.0.0.1", True, "", "")
    worklist.intake.record_association(association)
    worklist.intake.record_refusal(
        Refusal(NOON, "CT1", "127.0.0.1", "1.2", "1.3", 0xA700, "full")
    )
    worklist.intake.kept(["1.2", "1.3"])


def record_late(worklist: Worklist) -> None:
    scheduled(worklist)
    worklist.intake.record(received(9, at=after(60)))


def complete_and_route(worklist: Worklist) -> None:
    worklist.intake.record(received())
    study = current(worklist)
    assert worklist.studies.complete(study, NOON)
    assert worklist.studies.route(current(worklist), [new_job()], "", NOON)
    worklist.studies.instances(STUDY)


def work(worklist: Worklist) -> None:
    job = claimed(worklist)
    job = worklist.jobs.renew(job, after(1), 60)
    worklist.jobs.instances(STUDY)
    worklist.jobs.earlier_results(job)
    result = new_result(1, "PACS")
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [result], after(2))


def fail_and_reap(worklist: Worklist) -> None:
    job = claimed(worklist)
    worklist.jobs.fail(job, "why", after(1), after(1))
    [_] = worklist.jobs.claim("w1", ["cxr"], after(2), 60)
    assert worklist.upkeep.reap(after(100), 3) == 1


def deliver(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    [late] = worklist.outbox.due("PACS", NOON, 1, 9)
    worklist.outbox.postpone(late, None, "no answer", after(10), NOON)
    assert len(delivered(worklist, at=after(20))) == 1
    worklist.commitments.unconfirmed("PACS", after(30), 60, 9)


ACTS: dict[str, Act] = {
    "record": record_everything,
    "late instance": record_late,
    "route": complete_and_route,
    "work": work,
    "reap": fail_and_reap,
    "deliver": deliver,
    "follow": lambda w: w.studies.unfollowed(256),
    "oldest": lambda w: (scheduled(w), w.views.oldest()),
    "unrouted": lambda w: w.views.unrouted(NOON),
    "late": lambda w: (deliver(w), w.views.late()),
    "stranded": lambda w: (deliver(w), w.views.stranded(())),
    "counts": lambda w: w.views.counts(),
    "workers": lambda w: w.views.workers(),
    "retain": lambda w: w.upkeep.ended(after(9), 9, EndedStudy(STUDY, NOON, NOON)),
    "expired": lambda w: w.upkeep.expired(STUDY, after(9)),
    "fold counts": lambda w: w.upkeep.fold_counts(),
    "lead": lambda w: w.upkeep.lead("me", NOON, 10),
    "locations": lambda w: w.upkeep.known_locations(["a/b/c", "d/e/f"]),
    "events": lambda w: w.views.events(7, 50),
    "last event": lambda w: w.views.last_seq(),
    "job": lambda w: w.views.job("7f"),
    "deliveries": lambda w: w.views.deliveries("7f"),
    "late deliveries": lambda w: w.views.deliveries(state="PENDING"),
    "identity": lambda w: w.views.identity(STUDY),
    "study": lambda w: w.views._run(
        "SELECT * FROM v1_worklist WHERE study_instance_uid = :uid", {"uid": STUDY}
    ),
    "failed": lambda w: w.views.worklist(state="FAILED", limit=5),
    "receiving": lambda w: w.views.worklist(state="RECEIVING"),
    "routed": lambda w: w.views.worklist(state="ROUTED", limit=50),
    "sender": lambda w: w.views.worklist(ae="CT1", limit=50),
    "refused": lambda w: w.views.associations(5, refused_only=True),
}
WALKS: dict[str, tuple[Act, str]] = {
    "claim": (lambda w: w.jobs.claim("w1", ["a", "b"], NOON, 60, 4), "ix_jobs_claim"),
    "newest": (lambda w: w.views.worklist(limit=50), "ix_revisions_received_at"),
    "completed": (
        lambda w: w.views.worklist(state="COMPLETED", limit=50),
        "ix_revisions_received_at",
    ),
    "associations": (lambda w: w.views.associations(50), "ix_associations_at"),
}
"""Queries that walk along an index from its end and stop at their limit."""


@contextmanager
def traced(worklist: Worklist) -> Iterator[list[str]]:
    """Every statement that the driver runs, values filled in."""
    seen: list[str] = []
    engines = worklist._database._writer, worklist._database._reader
    for engine in engines:
        held = engine.raw_connection()
        held.driver_connection.set_trace_callback(seen.append)
        held.close()
    yield seen


def plans(path: Path, act: Act, worklist: Worklist) -> Iterator[tuple[str, str]]:
    """(statement, line of its plan)"""
    with traced(worklist) as seen:
        act(worklist)
    assert seen
    connection = sqlite3.connect(path)
    for statement in dict.fromkeys(seen):
        if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", statement):
            for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                yield statement, str(row[3])
    connection.close()


def growing_scans(statement: str, line: str) -> bool:
    """Whether a line of a plan reads a growing table, or its index, from end to end."""
    scanned = re.match(r"SCAN (\w+)", line)
    if not scanned:
        return False
    # The views call their tables r, j and d.
    return scanned[1] in GROWING | {"r", "j", "d"}


@pytest.fixture
def path(make_sqlite: MakeUrl) -> Path:
    return Path(make_sqlite().removeprefix("sqlite:///"))


@pytest.mark.parametrize("name", ACTS)
def test_nothing_reads_a_growing_table_from_end_to_end(path: Path, name: str) -> None:
    with open_worklist(f"sqlite:///{path}") as worklist:
        for statement, line in plans(path, ACTS[name], worklist):
            assert not growing_scans(statement, line), f"{line}\n{statement}"
            assert "AUTOMATIC" not in line, f"{line}\n{statement}"


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_along_an_index_sorts_nothing(path: Path, name: str) -> None:
    act, index = WALKS[name]
    with open_worklist(f"sqlite:///{path}") as worklist:
        lines = [line for _, line in plans(path, act, worklist)]
    assert any(f"USING INDEX {index}" in line for line in lines), lines
    # Equal instants are put in order among themselves; nothing else is sorted.
    sorts = [line for line in lines if "TEMP B-TREE" in line]
    assert all("RIGHT PART" in line or "LAST" in line for line in sorts), lines


def test_a_scan_would_be_found(path: Path) -> None:
    with open_worklist(f"sqlite:///{path}") as worklist:
        found = plans(
            path,
            lambda w: w.views._run("SELECT * FROM v1_events WHERE detail = ''", {}),
            worklist,
        )
        assert any(growing_scans(*one) for one in found)


def test_the_newest_are_the_same_by_both_readers(path: Path) -> None:
    with open_worklist(f"sqlite:///{path}") as worklist:
        finished(worklist)
        rows = worklist.views.worklist(state="COMPLETED", limit=5)
        embedded = EmbeddedViews(path)
        assert embedded.worklist(state="COMPLETED", limit=5) == rows
        embedded.close()
        assert [row["study_instance_uid"] for row in rows] == [STUDY]
        assert isinstance(NOON, datetime)
