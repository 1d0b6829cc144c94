"""What waits for the object store is counted, and a problem when it waits too long."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicomnode.health.problems import Snapshot, problems
from dicomnode.health.spool import LATE_SECONDS, Spool, spool
from dicomnode.store import LocalStore
from tests.contract.test_store import DATA_SET, KEY

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_instances_are_counted_and_nothing_else_that_lies_there(
    tmp_path: Path,
) -> None:
    assert spool(tmp_path) == Spool()
    store = LocalStore(tmp_path / "instances", 100)
    first, second = (store.put(KEY, [DATA_SET, more]) for more in (b"1", b"2"))
    store.stage(KEY).write([DATA_SET])
    refused = store.stage(KEY)
    refused.write([DATA_SET])
    refused.set_aside()
    LocalStore(tmp_path / "results", 100).put(KEY, [DATA_SET])
    at = (NOW - timedelta(hours=1)).timestamp()
    os.utime(tmp_path / "instances" / second.location, (at, at))
    assert first.location != second.location
    assert spool(tmp_path) == Spool(2, NOW - timedelta(hours=1))


@pytest.mark.parametrize(
    ("found", "n_problems"),
    [
        (None, 0),
        (Spool(), 0),
        (Spool(3, NOW - timedelta(seconds=LATE_SECONDS - 1)), 0),
        (Spool(3, NOW - timedelta(seconds=LATE_SECONDS)), 1),
    ],
)
def test_a_spool_that_stands_still_is_a_problem(
    found: Spool | None, n_problems: int
) -> None:
    told = problems(Snapshot(NOW, {}, spool=found))
    assert len(told) == n_problems
    for one in told:
        assert one.what.startswith("3 instance(s) not handed over")
        assert "dicomnode receive" in one.remedy
