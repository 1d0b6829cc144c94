"""The embedded database: durable settings, one writer, readers that only read."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from dicomnode.domain.association import Association
from dicomnode.errors import WorklistError
from dicomnode.worklist import (
    Worklist,
    check,
    open_views,
    open_worklist,
    sqlite,
    upgrade,
)
from dicomnode.worklist.engine import open_database
from dicomnode.worklist.sqlite import FileLock, assert_durable, lock_path
from tests.contract.worklist.making import received

NOW = datetime(2026, 1, 31, tzinfo=UTC)
FDS = "/proc/self/fd"
KNOCK = Association(NOW, "CT1", "DICOMNODE", "127.0.0.1", accepted=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "worklist.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def worklist(path: Path) -> Iterator[Worklist]:
    with open_worklist(f"sqlite:///{path}") as opened:
        yield opened


def pragma(worklist: Worklist, name: str, write: bool = True) -> object:
    with ExitStack() as stack:
        if write:
            connection = stack.enter_context(worklist._database.write()).connection
        else:
            connection = stack.enter_context(worklist._database.read())
        return connection.execute(text(f"PRAGMA {name}")).scalar()


def test_the_settings_that_survive_a_power_loss(worklist: Worklist) -> None:
    assert pragma(worklist, "journal_mode") == "wal"
    assert pragma(worklist, "synchronous") == 2
    assert pragma(worklist, "foreign_keys") == 1
    assert pragma(worklist, "busy_timeout") == 10_000
    assert pragma(worklist, "query_only", write=False) == 1


def test_every_new_connection_is_set_up_again(worklist: Worklist) -> None:
    worklist._database._writer.dispose()
    assert pragma(worklist, "synchronous") == 2


@pytest.mark.parametrize(("mode", "synchronous"), [("delete", 2), ("wal", 1)])
def test_settings_that_could_lose_a_study_are_refused(
    mode: str, synchronous: int
) -> None:
    with pytest.raises(WorklistError, match="local disk"):
        assert_durable(mode, synchronous)


def test_a_write_waits_for_the_lock_and_gives_up_in_time(
    worklist: Worklist, path: Path
) -> None:
    lock = worklist._database._lock
    assert lock is not None
    lock._timeout_seconds = 0.05
    other = FileLock(lock_path(path))
    with other.held(), pytest.raises(WorklistError, match="stayed locked"):
        worklist.intake.record_association(KNOCK)
    worklist.intake.record_association(KNOCK)
    assert len(worklist.views.associations()) == 1
    other.close()


def test_the_lock_is_held_while_a_transaction_is_open(
    worklist: Worklist, path: Path
) -> None:
    other = FileLock(lock_path(path), timeout_seconds=0)
    with worklist._database.write(), pytest.raises(WorklistError), other.held():
        pass
    with other.held():
        pass
    other.close()


def test_the_lock_of_a_dead_process_is_free(path: Path) -> None:
    program = (
        "import os, fcntl, sys\n"
        "fd = os.open(sys.argv[1], os.O_RDWR)\n"
        "fcntl.flock(fd, fcntl.LOCK_EX)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    lock = lock_path(path)
    died = subprocess.run([sys.executable, "-c", program, str(lock)], check=False)
    assert died.returncode == -9
    mine = FileLock(lock, timeout_seconds=0)
    with mine.held():
        pass
    mine.close()


def test_closing_gives_every_descriptor_back(path: Path) -> None:
    def opened() -> int:
        """Of this database; other threads open and close others meanwhile."""
        found = (os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir(FDS))
        return sum(one.startswith(str(path)) for one in found)

    with open_worklist(f"sqlite:///{path}"):
        pass
    before = opened()
    for _ in range(3):
        with open_worklist(f"sqlite:///{path}") as worklist:
            worklist.intake.record_association(KNOCK)
    assert opened() == before


def test_readers_are_not_held_up_by_a_writer(worklist: Worklist) -> None:
    worklist.intake.record_association(KNOCK)
    with worklist._database.write() as transaction:
        transaction.execute(text("DELETE FROM associations"))
        assert len(worklist.views.associations()) == 1
    assert worklist.views.associations() == []


def test_a_checkpoint_empties_the_log(worklist: Worklist, path: Path) -> None:
    worklist.intake.record_association(KNOCK)
    log = path.with_name("worklist.db-wal")
    assert log.stat().st_size > 0
    worklist.upkeep.checkpoint()
    assert log.stat().st_size == 0


def test_a_still_database_in_a_folder_that_may_only_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{path}"
    real = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: mode != os.W_OK and real(p, mode))
    assert sqlite._reading(path)["immutable"] == "1"
    views = open_views(url)
    assert views.worklist() == []
    views.close()


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    # The path in a URL is percent-encoded, as in any URL.
    url = f"sqlite:///{tmp_path}/a b#c/ä'%25/worklist.db"
    upgrade(url)
    with open_worklist(url) as worklist:
        worklist.intake.record_association(KNOCK)
        assert len(worklist.views.associations()) == 1
    assert (tmp_path / "a b#c" / "ä'%" / "worklist.db").is_file()


@pytest.mark.parametrize("use", [open_worklist, open_views, check])
def test_a_missing_database(tmp_path: Path, use: object) -> None:
    with pytest.raises(WorklistError, match="dicomnode db upgrade"):
        use(f"sqlite:///{tmp_path}/none.db")  # type: ignore[operator]  # a parameter
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("mysql://localhost/worklist", "mysql is not supported"),
        ("worklist.db", "not a URL"),
    ],
)
def test_urls_that_cannot_be_used(url: str, why: str) -> None:
    with pytest.raises(WorklistError, match=why):
        open_database(url)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WorklistError, match=r"node\.data_dir"):
        upgrade(f"sqlite:///{tmp_path}/file/deeper/worklist.db")


def test_a_damaged_database_is_found(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:8192] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(WorklistError, match="dicomnode db restore"):
        check(f"sqlite:///{path}", integrity=True)


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"these are not the bytes you are looking for" * 100)
    with pytest.raises(WorklistError, match="dicomnode db restore"):
        check(f"sqlite:///{path}")


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/a / ext4 rw 0 0\nserver:/b {tmp_path} nfs4 rw 0 0\n")
    with pytest.raises(WorklistError, match="nfs4"):
        sqlite.refuse_network_folder(tmp_path / "worklist.db", mounts)
    mounts.write_text("/dev/a / ext4 rw 0 0\n")
    sqlite.refuse_network_folder(tmp_path / "worklist.db", mounts)


def test_any_sqlite_shell_can_read_the_views(worklist: Worklist, path: Path) -> None:
    worklist.intake.record_association(KNOCK)
    shell = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = shell.execute("SELECT calling_ae_title FROM v1_associations").fetchall()
    shell.close()
    assert found == [("CT1",)]


def test_the_url_of_the_database_keeps_its_file() -> None:
    assert sqlite.database_path(make_url("sqlite:////var/lib/w.db")) == Path(
        "/var/lib/w.db"
    )


def test_importing_the_worklist_is_light() -> None:
    program = (
        "import sys, dicomnode.worklist\n"
        "heavy = {'torch', 'pydicom', 'pynetdicom', 'alembic', 'psycopg'}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert not re.search(r"\S", run.stdout), run.stdout


def test_a_reserved_log_keeps_its_length_and_every_commit(
    worklist: Worklist, path: Path
) -> None:
    log = path.with_name("worklist.db-wal")
    worklist.reserve_log()
    length = log.stat().st_size
    assert length > sqlite._LOG_PAGES * 4096
    worklist.intake.record_association(KNOCK)
    # As after a crash: another program finds the rows in the log, before the zeros.
    copy = path.with_name("copy.db")
    for ending in ("", "-wal"):
        source = path.with_name(f"{path.name}{ending}")
        copy.with_name(f"{copy.name}{ending}").write_bytes(source.read_bytes())
    with open_worklist(f"sqlite:///{copy}") as recovered:
        assert len(recovered.views.associations()) == 1
    worklist.upkeep.fold_log()
    worklist.reserve_log()
    worklist.intake.record_association(KNOCK)
    assert log.stat().st_size == length
    assert len(worklist.views.associations()) == 2


def test_no_log_is_reserved_on_a_disk_that_is_nearly_full(
    worklist: Worklist, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = shutil.disk_usage(path)._replace(free=sqlite._LOG_BYTES)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: used)
    worklist.reserve_log()
    assert path.with_name("worklist.db-wal").stat().st_size < sqlite._LOG_BYTES


def test_a_log_that_the_disk_refuses_ends_the_process(
    worklist: Worklist, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing)
        with pytest.raises(WorklistError, match="check the disk"):
            worklist.reserve_log()
    assert not worklist.is_sound


def test_a_noted_association_comes_with_what_is_recorded_next(
    worklist: Worklist,
) -> None:
    worklist.intake.note_association(KNOCK)
    assert worklist.views.associations() == []
    worklist.intake.record(received())
    assert len(worklist.views.associations()) == 1
    worklist.intake.note_association(KNOCK)
    worklist.intake.record_noted()
    worklist.intake.record_noted()
    assert len(worklist.views.associations()) == 2


def test_one_connection_serves_every_write(worklist: Worklist) -> None:
    def used() -> object:
        with worklist._database.write() as transaction:
            return transaction.connection.connection.driver_connection

    assert used() is used()
    with pytest.raises(WorklistError), worklist._database.write() as transaction:
        transaction.execute(text("INSERT INTO nowhere VALUES (1)"))
    # What has failed leaves nothing behind, and the next one goes on.
    worklist.intake.record_association(KNOCK)
    assert len(worklist.views.associations()) == 1
