"""Fault 42: a worklist of years; in full size: python -m tests.bench worklist --full.

Here a thousand studies, and the proof that a start does not look at them: the plans of
the statements that run until the worklist is open.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from dicomnode import config
from dicomnode.processes import wiring
from dicomnode.worklist import open_worklist
from tests.bench.worklist.filling import Size, arrived_at, fill, study_uid
from tests.bench.worklist.measuring import CONFIG, instance_of
from tests.contract.worklist.test_plans_at_scale import growing_scans

SIZE = Size(1000, 2000)


def test_42_a_start_does_not_look_at_what_was_received_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, file = tmp_path / "worklist.db", tmp_path / "config.toml"
    fill(f"sqlite:///{path}", SIZE)
    file.write_text(CONFIG)
    seen: list[str] = []
    connect = sqlite3.connect

    def traced(*arguments, **options):
        connection = connect(*arguments, **options)
        connection.set_trace_callback(seen.append)
        return connection

    monkeypatch.setattr(sqlite3.dbapi2, "connect", traced)
    with wiring.opened_worklist(config.load(file, environ={})):
        pass
    assert any("alembic_version" in one for one in seen)
    connection = connect(path)
    for one in seen:
        if one.lstrip().upper().startswith(("SELECT", "INSERT", "UPDATE")):
            for row in connection.execute(f"EXPLAIN QUERY PLAN {one}"):
                assert not growing_scans(one, str(row[3])), one
    connection.close()


def test_42_a_full_worklist_still_takes_and_gives(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'worklist.db'}"
    fill(url, SIZE)
    with open_worklist(url) as worklist:
        counts = worklist.views.counts()
        assert sum(counts["study"].values()) == SIZE.n_studies
        assert counts["study"]["RECEIVING"] == 10
        uid, now = study_uid(SIZE.n_studies), arrived_at(SIZE.n_studies)
        worklist.intake.record(instance_of(uid, 1, now))
        assert worklist.views.worklist(limit=1)[0]["study_instance_uid"] == uid
        assert len(worklist.studies.receiving()) == 11
        [job] = worklist.jobs.claim("w1", ["cxr-qc"], now, 60)
        assert job.study_instance_uid == study_uid(SIZE.n_studies - 20)
