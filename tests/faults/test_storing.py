"""Faults 6, 8 and 11 to 15: C-STOREs that the disk, the database or the sender spoils.

A receiver on the loopback with a real store and a real worklist. Further ways of the
same faults: tests/contract/test_store_faults.py, tests/integration/test_receive.py.
"""

from __future__ import annotations

import random
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicomnode.assembler import Assembler
from dicomnode.domain.completion import CompletionPolicy
from dicomnode.processes.clock import SystemClock
from dicomnode.store import LocalStore
from dicomnode.worklist import Worklist, open_worklist, upgrade
from dicomnode.worklist import sqlite as embedded
from dicomnode.worklist.engine import Database, open_readonly
from dicomnode.worklist.translation import DiskFailed
from tests.faults import modality
from tests.integration.receiving import Sample, associated, receiving, status
from tests.integration.test_receive import (
    PRIVATE_CLASS,
    PRIVATE_SYNTAX,
    UNKNOWN_CLASS,
    UNKNOWN_SYNTAX,
    made,
)
from tests.unit.receiver.test_header import dataset, encoded

STUDY = "1.2.3.4"
HANG_SECONDS = 60
SHORT_SECONDS = 0.1


class Kept:
    """A store and a worklist on the disk."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "instances"
        self.database = folder / "worklist.db"
        self.url = f"sqlite:///{self.database}"
        upgrade(self.url)
        self.worklist = open_worklist(self.url)

    def files(self) -> list[str]:
        """The names of all files in the store."""
        return [path.name for path in self.root.rglob("*") if path.is_file()]

    def rows(self) -> list[str]:
        """The SOP Instance UIDs of all rows, conflicts too."""
        with closing(sqlite3.connect(self.database)) as connection:
            found = connection.execute("SELECT sop_instance_uid FROM instances")
            return [uid for (uid,) in found]

    def told(self, kind: str) -> list[str]:
        """What the change feed says under this kind."""
        events = self.worklist.views.events()
        return [str(one["detail"]) for one in events if one["kind"] == kind]

    def store(self, one: Sample, worklist: Worklist | None = None) -> int | None:
        """The status of one C-STORE on a receiver of its own."""
        intake = (worklist or self.worklist).intake
        with (
            receiving(self.root, intake=intake) as node,
            associated(node.port, [one.context]) as association,
        ):
            return status(association, one)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path)
    yield made
    made.worklist.close()


def test_06_above_the_watermark_nothing_is_taken_and_nothing_removed(
    kept: Kept,
) -> None:
    assert kept.store(made()) == 0
    before = kept.files()
    full = LocalStore(kept.root, watermark_percent=0.0001)
    other = made(uid="1.2.3.4.5.7")
    with (
        receiving(kept.root, store=full, intake=kept.worklist.intake) as node,
        associated(node.port, [other.context]) as association,
    ):
        assert status(association, other) == 0xA700
    assert kept.files() == before
    (told,) = kept.told("instance refuse")
    assert "0xA700" in told
    assert "raise store.watermark_percent" in told


def test_08_a_database_locked_too_long_gives_no_success(kept: Kept) -> None:
    """By another program of ours that hangs with the lock in its hands."""
    path = kept.database
    lock = embedded.FileLock(embedded.lock_path(path), SHORT_SECONDS)
    database = Database(
        embedded.writer_engine(path), embedded.reader_engine(path), lock
    )
    hung = embedded.FileLock(embedded.lock_path(path))
    with closing(Worklist(database)) as impatient, closing(hung):
        with hung.held():
            assert kept.store(made(), impatient) == 0x0110
            assert kept.rows() == []
        assert kept.store(made(), impatient) == 0
    assert len(kept.rows()) == len(kept.files()) == 1


def test_08_a_database_locked_by_a_stranger_gives_no_success(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By somebody's SQL shell."""
    monkeypatch.setattr(embedded, "LOCK_SECONDS", SHORT_SECONDS)
    with (
        closing(open_worklist(kept.url)) as impatient,
        closing(sqlite3.connect(kept.database, isolation_level=None)) as shell,
    ):
        shell.execute("BEGIN IMMEDIATE")
        assert kept.store(made(), impatient) == 0x0110
        shell.execute("ROLLBACK")
        assert kept.store(made(), impatient) == 0
    assert len(kept.rows()) == len(kept.files()) == 1


def test_07_a_disk_that_fails_under_the_database_gives_no_success(kept: Kept) -> None:
    """Nor does it after that: only a new process may believe the disk again."""
    with closing(open_worklist(kept.url)) as failing:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        with pytest.raises(DiskFailed), failing._database.write():
            raise error
        assert kept.store(made(), failing) == 0x0110
        assert not failing.is_sound
    assert kept.rows() == []
    assert kept.store(made()) == 0
    assert len(kept.rows()) == len(kept.files()) == 1


def test_08_a_database_that_cannot_be_written_gives_no_success(kept: Kept) -> None:
    with closing(Worklist(open_readonly(kept.url))) as readonly:
        assert kept.store(made(), readonly) == 0x0110
    assert kept.rows() == []
    assert kept.store(made()) == 0
    assert len(kept.rows()) == len(kept.files()) == 1


def test_08_a_full_database_gives_no_success_and_recovers_by_itself(
    kept: Kept,
) -> None:
    def limit(pages: int) -> None:
        with kept.worklist._database.write() as transaction:
            transaction.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    limit(1)  # as small as it is already: not one page more
    large = dataset()
    large.StudyDescription = "x" * 20_000
    one = replace(made(), data_set=encoded(large, ExplicitVRLittleEndian))
    with (
        receiving(kept.root, intake=kept.worklist.intake) as node,
        associated(node.port, [one.context]) as association,
    ):
        answers = []
        for number in range(1000):
            uid = f"1.2.3.4.9.{number}"
            answers.append(status(association, made(uid=uid)))
            if answers[-1] != 0:
                break
        limit(1_000_000)
        assert answers[-1] == 0x0110
        assert len(kept.rows()) == len(answers) - 1
        assert status(association, made(uid=uid)) == 0
    assert len(kept.rows()) == len(kept.files()) == len(answers)


@pytest.mark.parametrize(
    "uid",
    ["", "1." * 40 + "1", "../../evil", "/etc/passwd", "CON", "1..2", ".", "1\n2"],
)
def test_11_a_uid_that_is_none_is_refused_and_writes_nothing(
    kept: Kept, tmp_path: Path, uid: str
) -> None:
    ds = dataset()
    ds.StudyInstanceUID = uid
    hostile = replace(made(), data_set=encoded(ds, ExplicitVRLittleEndian))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert kept.store(hostile) == 0xC000
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in after - before} <= {
        *("worklist.db-wal", "worklist.db-shm", "worklist.db.lock")
    }
    assert kept.rows() == []
    assert len(kept.told("instance refuse")) == 1


@pytest.mark.parametrize("padding", ["\0", " ", "\0\0"])
def test_11_a_padded_uid_is_the_uid(kept: Kept, padding: str) -> None:
    one = made()
    padded = replace(one.key, sop_instance_uid=one.key.sop_instance_uid + padding)
    assert kept.store(replace(one, key=padded)) == 0
    assert kept.store(one) == 0
    assert kept.rows() == ["1.2.3.4.5.6"]
    assert len(kept.files()) == 1


def test_12_other_content_under_one_uid_is_kept_beside_and_flagged(kept: Kept) -> None:
    first = made()
    ds = dataset()
    ds.StudyDate = "20250101"
    second = Sample("second", first.key, encoded(ds, ExplicitVRLittleEndian))
    assert [kept.store(one) for one in (first, second, first, second)] == [0] * 4
    assert len(kept.files()) == len(kept.rows()) == 2
    (told,) = kept.told("instance conflict")
    assert "other content" in told
    (current,) = kept.worklist.studies.instances(STUDY)
    whole = (kept.root / current.location).read_bytes()
    assert whole.endswith(first.data_set)


def test_13_the_same_instance_at_once_on_two_receivers_is_kept_once(
    kept: Kept,
) -> None:
    one = made()
    together = threading.Barrier(4)

    def store(port: int) -> int | None:
        with associated(port, [one.context]) as association:
            together.wait(HANG_SECONDS)
            return status(association, one)

    with ExitStack() as stack:
        second = stack.enter_context(closing(open_worklist(kept.url)))
        nodes = [
            stack.enter_context(receiving(kept.root, intake=worklist.intake))
            for worklist in (kept.worklist, second)
        ]
        pool = stack.enter_context(ThreadPoolExecutor(4))
        answers = pool.map(store, [node.port for node in nodes] * 2)
        assert list(answers) == [0, 0, 0, 0]
    assert len(kept.rows()) == len(kept.files()) == 1
    assert kept.told("instance conflict") == []


@pytest.mark.parametrize(
    ("sop_class", "syntax"),
    [
        (PRIVATE_CLASS, PRIVATE_SYNTAX),
        (UNKNOWN_CLASS, UNKNOWN_SYNTAX),
        (CTImageStorage, PRIVATE_SYNTAX),
    ],
)
def test_14_what_nobody_knows_is_kept_unchanged(
    kept: Kept, sop_class: str, syntax: str
) -> None:
    one = made(sop_class, syntax, ExplicitVRLittleEndian)
    assert kept.store(one) == 0
    (row,) = kept.worklist.studies.instances(STUDY)
    assert row.sop_class_uid == sop_class
    assert (kept.root / row.location).read_bytes().endswith(one.data_set)


class Line:
    """A line to ``port`` that is cut after so many bytes of the sender."""

    def __init__(self, port: int, n_bytes: int) -> None:
        self._port, self._n_bytes = port, n_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._carry)

    def __enter__(self) -> Line:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._thread.join(HANG_SECONDS)
        self._listener.close()

    def _carry(self) -> None:
        sender, _ = self._listener.accept()
        with sender, socket.create_connection(("127.0.0.1", self._port)) as node:
            back = threading.Thread(target=_copy, args=(node, sender))
            back.start()
            left = self._n_bytes
            while left > 0 and (block := sender.recv(min(left, 4096))):
                node.sendall(block)
                left -= len(block)
            for one in (sender, node):
                with suppress(OSError):  # the other end may have gone before
                    one.shutdown(socket.SHUT_RDWR)
            back.join(HANG_SECONDS)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # what is cut
        while block := source.recv(4096):
            target.sendall(block)


@pytest.mark.peer
def test_15_a_line_cut_inside_a_data_set_costs_that_instance_only(
    kept: Kept, tmp_path: Path, require_command: Callable[[str], str]
) -> None:
    require_command("storescu")

    outbox, rng = tmp_path / "modality", random.Random(1)
    outbox.mkdir()
    first = modality.made(outbox, rng, "", 1000)
    second = modality.made(outbox, rng, first.study_instance_uid, 300_000)
    with receiving(kept.root, intake=kept.worklist.intake) as node:
        with Line(node.port, 200_000) as line:
            assert modality.send(line.port, [first, second]) == [first]
        assert modality.send(node.port, [first]) == [first]
    assert len(kept.files()) == len(kept.rows()) == 1
    quiet = CompletionPolicy(quiet_seconds=0)
    Assembler(kept.worklist.studies, quiet, SystemClock()).run_once()
    (study,) = kept.worklist.studies.unrouted()
    assert study.n_instances == 1


@pytest.mark.peer
def test_15_a_sender_that_aborts_costs_nothing_that_was_answered(
    kept: Kept, tmp_path: Path, require_command: Callable[[str], str]
) -> None:

    one = modality.made(tmp_path, random.Random(1), "", 1000)
    with receiving(kept.root, intake=kept.worklist.intake) as node:
        argv = [require_command("storescu"), "--abort", "-aec", "DICOMNODE"]
        argv += ["-aet", "MODALITY", "127.0.0.1", str(node.port), str(one.path)]
        assert subprocess.run(argv, timeout=HANG_SECONDS).returncode == 0
    assert len(kept.files()) == len(kept.rows()) == 1
