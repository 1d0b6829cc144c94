"""SQLite as the embedded worklist: what makes it durable and safe to share.

Measured: only WAL with ``synchronous=FULL`` kept every acknowledged commit through a
power loss, and that setting belongs to the connection, so each one sets and checks it.
One advisory lock on ``<database>.lock`` surrounds every write transaction and every
checkpoint: SQLite before 3.51.3 can corrupt a WAL that is reset while another process
writes, and with the lock the writers take turns instead of racing for the busy handler.
A second lock, ``<database>.turn``, belongs to the one who is next: a process that has
just written must line up for it again, so that no process that writes all the time
keeps the others out.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from dicomnode.errors import WorklistError
from dicomnode.worklist.translation import DiskFailed, Unavailable

LOCK_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.0002
_LONGEST_PAUSE_SECONDS = 0.002
_FULL = 2
# Pages of 4 KiB in the log before a commit moves them into the database: four times the
# usual number, as each move syncs twice and many commits touch the same pages.
_LOG_PAGES = 4000
# Each page with its header, behind the header of the log (sqlite.org/fileformat.html).
_LOG_BYTES = 32 + _LOG_PAGES * (24 + 4096)
_ZEROS = bytes(1 << 20)
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs")


class FileLock:
    """A lock that threads and processes take turns on (flock; freed by any death)."""

    def __init__(self, path: Path, timeout_seconds: float = LOCK_SECONDS) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._threads = threading.Lock()
        self._descriptor = _opened(path)
        self._turn = _opened(path.with_suffix(".turn"))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; raises WorklistError when it does not come free in time."""
        deadline = time.monotonic() + self._timeout_seconds
        if not self._threads.acquire(timeout=self._timeout_seconds):
            raise self._late()
        try:
            self._lock_in_turn(deadline)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self._descriptor)
        os.close(self._turn)

    def _lock_in_turn(self, deadline: float) -> None:
        self._lock(self._turn, deadline)
        try:
            self._lock(self._descriptor, deadline)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def _lock(self, descriptor: int, deadline: float) -> None:
        # A blocking flock cannot time out, and a sender wants an answer in any case.
        pause = _FIRST_PAUSE_SECONDS
        while not _try(descriptor):
            if time.monotonic() >= deadline:
                raise self._late()
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_SECONDS)

    def _late(self) -> WorklistError:
        return Unavailable(
            f"the worklist database stayed locked for {self._timeout_seconds:g} s; "
            f"end the program that holds {self._path}"
        )


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o660)
    except OSError as error:
        raise Unavailable(
            f"cannot open {path}: {error.strerror}; make the folder of the "
            "database writable for this user"
        ) from error


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def database_path(url: URL) -> Path:
    """The file of a SQLite URL; raises WorklistError for a database in memory."""
    if not url.database or url.database == ":memory:" or "mode=memory" in str(url):
        raise WorklistError(
            "the worklist must outlive its processes, so SQLite needs a file; "
            "set [database] url to sqlite:///<path>"
        )
    return Path(url.database)


def require_file(path: Path) -> None:
    """Raise WorklistError with the remedy where there is no database yet."""
    if not path.exists():
        raise WorklistError(
            f"there is no worklist database at {path}; run `dicomnode db upgrade` or "
            "start any role, or correct [database] url"
        )


def lock_path(path: Path) -> Path:
    """The file whose lock surrounds the writes to ``path``."""
    return path.with_name(f"{path.name}.lock")


def refuse_network_folder(path: Path, mounts: Path = Path("/proc/mounts")) -> None:
    """Raise WorklistError where the folder of ``path`` is on a network file system."""
    kind = _file_system(path.resolve().parent, mounts)
    if kind.startswith(_NETWORK_FILE_SYSTEMS):
        raise WorklistError(
            f"the folder of {path} is on {kind}, where SQLite's locks are not safe; "
            "put node.data_dir on a local disk or use PostgreSQL in [database] url"
        )


def _file_system(folder: Path, mounts: Path) -> str:
    if not mounts.is_file():
        return ""
    rows = (line.split() for line in mounts.read_text().splitlines())
    above = ((row[1], row[2]) for row in rows if folder.is_relative_to(row[1]))
    return max(above, key=lambda row: len(row[0]), default=("", ""))[1]


def writer_engine(path: Path) -> Engine:
    """One connection for all threads: the lock lets only one write at a time."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=1,
        max_overflow=0,
        # A transaction has ended by itself when its connection comes back.
        pool_reset_on_return=None,
        hide_parameters=True,
        connect_args={"timeout": LOCK_SECONDS},
    )
    event.listen(engine, "connect", _prepare_writer)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def reader_engine(path: Path) -> Engine:
    """Connections that cannot write."""
    engine = create_engine(
        URL.create("sqlite", database=path.resolve().as_uri(), query=_reading(path)),
        hide_parameters=True,
        connect_args={"timeout": LOCK_SECONDS},
    )
    event.listen(engine, "connect", _prepare_reader)
    event.listen(engine, "begin", _begin)
    return engine


def plain_reader(path: Path) -> sqlite3.Connection:
    """A connection of the driver itself that cannot write."""
    options = "&".join(f"{key}={value}" for key, value in _reading(path).items())
    address = f"{path.resolve().as_uri()}?{options.replace('uri=true&', '')}"
    return sqlite3.connect(address, uri=True, timeout=LOCK_SECONDS)


def _reading(path: Path) -> dict[str, str]:
    # A reader of a WAL database must be able to make the -shm file. Where it may not
    # and nobody is writing, the file is all there is.
    wal = path.with_name(f"{path.name}-wal")
    still = not wal.exists() and not os.access(path.resolve().parent, os.W_OK)
    return {"uri": "true", "mode": "ro", **({"immutable": "1"} if still else {})}


def _prepare_writer(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    _leave_transactions_to_us(connection)
    mode = _pragma(connection, "journal_mode=WAL")
    _pragma(connection, "synchronous=FULL")
    _pragma(connection, "foreign_keys=ON")
    _pragma(connection, f"wal_autocheckpoint={_LOG_PAGES}")
    # A log that a long reader has let grow is cut back when it begins anew.
    _pragma(connection, f"journal_size_limit={_LOG_BYTES}")
    assert_durable(mode, _pragma(connection, "synchronous"))


def _prepare_reader(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    _leave_transactions_to_us(connection)
    _pragma(connection, "query_only=ON")


def assert_durable(journal_mode: str, synchronous: int) -> None:
    """Raise WorklistError unless the settings keep a commit through a power loss."""
    if journal_mode != "wal" or synchronous != _FULL:
        raise WorklistError(
            f"SQLite runs with journal_mode={journal_mode}, synchronous={synchronous} "
            "and could lose acknowledged studies; put node.data_dir on a local disk"
        )


def _leave_transactions_to_us(connection: DBAPIConnection) -> None:
    # None: the driver opens no transactions of its own, the begin events below do.
    connection.isolation_level = None


def _pragma(connection: DBAPIConnection, pragma: str) -> Any:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA {pragma}")
    row = cursor.fetchone()
    cursor.close()
    return row[0] if row else None


def checkpoint(connection: Connection, how: str) -> None:
    """Move the log into the database, ``how`` as sqlite.org/pragma.html names it."""
    driver: Any = connection.connection.driver_connection
    driver.execute(f"PRAGMA wal_checkpoint({how})").close()


def reserve_log(connection: Connection) -> None:
    """Write zeros behind the log, durably; in a transaction that has written nothing.

    A commit that makes a file longer waits for the file system's log as well, one
    within it does not. SQLite takes for the end of its log what has no valid checksum.
    Nothing is reserved on a disk that is nearly full. Raises DiskFailed.
    """
    path = Path(str(connection.engine.url.database))
    try:
        _lengthen(path.with_name(f"{path.name}-wal"))
    except OSError as error:
        raise DiskFailed(
            f"the log of the worklist database cannot be written ({error.strerror}); "
            "check the disk of node.data_dir, then restart the node"
        ) from error


def _lengthen(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        free_bytes = shutil.disk_usage(log.parent).free
        missing = _LOG_BYTES - os.fstat(descriptor).st_size
        if free_bytes < 2 * _LOG_BYTES:
            return
        while missing > 0:
            missing -= os.write(descriptor, _ZEROS[:missing])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Begun:
    """A write transaction of the driver; SQLAlchemy joins it when it is first used.

    SQLAlchemy's own way to begin and to end one takes longer than its statements, and
    what is recorded of an instance needs nothing else of it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._driver: Any = connection.connection.driver_connection

    def __enter__(self) -> None:
        self._driver.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        ends = self._connection if self._connection.in_transaction() else self._driver
        try:
            if kind is None:
                ends.commit()
        finally:
            # Of a commit that has failed too; else there is nothing left to undo.
            if self._driver.in_transaction or self._connection.in_transaction():
                ends.rollback()


def _begin_immediate(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        driver.execute("BEGIN IMMEDIATE")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
