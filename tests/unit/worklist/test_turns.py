"""Processes that write all the time take turns; none keeps the others out."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.exc import IntegrityError

from dicomnode.errors import WorklistError
from dicomnode.worklist import upgrade
from dicomnode.worklist.engine import open_database
from dicomnode.worklist.prepared import Prepared
from dicomnode.worklist.schema import series, studies
from dicomnode.worklist.sqlite import FileLock

N_PROCESSES, N_TURNS = 3, 120


def take_turns(path: Path, record: Path, begin: int, name: int) -> None:
    """A process that wants the lock again as soon as it has let go of it."""
    os.read(begin, 1)
    lock = FileLock(path, timeout_seconds=60)
    while True:
        with lock.held(), record.open("a+") as file:
            file.seek(0)
            done = len(file.read())
            if done >= N_TURNS:
                return
            file.write(str(name))
            file.flush()
            os.fsync(file.fileno())


def test_a_busy_process_does_not_keep_the_others_out(tmp_path: Path) -> None:
    record, (begin, start) = tmp_path / "record", os.pipe()
    record.touch()
    pids = []
    for name in range(N_PROCESSES):
        pid = os.fork()
        if pid == 0:
            take_turns(tmp_path / "w.lock", record, begin, name)
            os._exit(0)
        pids.append(pid)
    os.write(start, b"!" * N_PROCESSES)
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0] * N_PROCESSES
    turns = record.read_text()
    again = sum(a == b for a, b in pairwise(turns))
    # Without turns a process follows itself nearly always.
    assert again < N_TURNS / 2


def test_a_prepared_statement_is_the_statement(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'w.db'}"
    upgrade(url)
    database = open_database(url)
    wanted = select(studies).where(studies.c.study_instance_uid == bindparam("uid"))
    try:
        with database.write() as transaction:
            row = {"study_instance_uid": "1.2", "revision": 1}
            assert transaction.insert_missing(studies, row)
            assert not transaction.insert_missing(studies, row)
            slow = transaction.rows(wanted, {"uid": "1.2"})
            fast = transaction.run(Prepared(wanted), [{"uid": "1.2"}, {"uid": "3"}])
            assert [tuple(one) for one in fast] == [tuple(one) for one in slow]
            assert fast[0].revision == 1
    finally:
        database.close()


def test_what_the_driver_refuses_is_a_worklist_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'w.db'}"
    upgrade(url)
    database = open_database(url)
    orphan = {"study_instance_uid": "1.2", "series_instance_uid": "3"}
    with (
        pytest.raises(WorklistError, match="FOREIGN KEY") as caught,
        database.write() as transaction,
    ):
        transaction.insert_all(series, [orphan])
    assert not isinstance(caught.value, IntegrityError)
    with database.write() as transaction:
        assert transaction.rows(select(series)) == []
    database.close()
