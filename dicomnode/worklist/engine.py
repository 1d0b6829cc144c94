"""A database URL becomes a Database: write and read transactions, nothing more.

SQLite and PostgreSQL run the same statements. What differs is here: the advisory file
lock and read-only connections of SQLite, and the event lock of PostgreSQL.

Why the event lock: PostgreSQL numbers event rows when they are inserted but shows them
when their transaction commits, so a reader that follows ``seq`` could pass a number
that becomes visible only later, and never look back. Each transaction therefore writes
its events last, under a lock that lasts until its commit: numbers become visible in
their order. All row locks are taken before, so this lock cannot close a cycle. SQLite
has one writer at a time and needs none of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    URL,
    Column,
    Connection,
    CursorResult,
    Engine,
    Row,
    Table,
    create_engine,
    insert,
    make_url,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import ArgumentError
from sqlalchemy.sql.base import Executable

from dicomnode.errors import WorklistError
from dicomnode.worklist import prepared, sqlite
from dicomnode.worklist.prepared import Prepared
from dicomnode.worklist.schema import events
from dicomnode.worklist.translation import DiskFailed, translated
from dicomnode.worklist.wakeups import CHANNEL, WakeUps

if TYPE_CHECKING:
    import psycopg

_EVENT_LOCK = text(
    f"SELECT pg_advisory_xact_lock(6446, 1), pg_notify('{CHANNEL}', :kinds)"
)
_IN_ORDER = text(
    "SELECT set_config('enable_sort', 'off', true), "
    "set_config('enable_seqscan', 'off', true)"
)
_MIGRATION_LOCK = text("SELECT pg_advisory_xact_lock(6446, 2)")
_SILENCE_SECONDS = 25
"""After it, a peer that a cut line leaves without a word counts as gone, on both sides.

Without it a host that is cut off in a transaction holds its locks, the one of the
events among them, against all others for two hours (the default of TCP). A process
that stands still in a transaction (its machine is paused, or swaps) answers keepalives
and would hold its locks as long: its session ends too, and with it the transaction.
"""

_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_LINE = {
    **_KEEPALIVE,
    "tcp_user_timeout": 1000 * _SILENCE_SECONDS,
    "connect_timeout": 10,
}
_POSTGRESQL_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=10s -c synchronous_commit=on "
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 "
    f"-c tcp_keepalives_count=3 -c tcp_user_timeout={_SILENCE_SECONDS}s "
    f"-c idle_in_transaction_session_timeout={_SILENCE_SECONDS}s"
)
_READ_ONLY = " -c default_transaction_read_only=on"


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the change feed; ``detail`` never holds patient identity."""

    at: datetime
    kind: str
    state: str | None
    study_instance_uid: str | None = None
    job_id: str | None = None
    detail: str = ""


class Transaction:
    """A write transaction; events are written at its end."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self._events: list[Event] = []

    def execute(self, statement: Executable) -> CursorResult[Any]:
        """Run one statement."""
        return self.connection.execute(statement)

    def rows(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Sequence[Row[Any]]:
        """All rows of a query, or of a change with RETURNING."""
        return self.connection.execute(statement, values).all()

    def run(
        self, statement: Prepared, rows: Sequence[Mapping[str, Any]]
    ) -> Sequence[Any]:
        """Run a prepared statement for each of ``rows``; all that it finds."""
        return statement.run(self.connection, rows)

    def insert(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows that have the same columns."""
        if self.is_sqlite:
            prepared.insert(self.connection, table, rows)
        else:
            self.connection.execute(insert(table), rows)

    def insert_missing(self, table: Table, values: Mapping[str, Any]) -> bool:
        """Insert a row unless one with its key is there; whether it was inserted."""
        if self.is_sqlite:
            return bool(prepared.insert_missing(self.connection, table, [values]))
        statement = _insert_missing(table)
        return self.connection.execute(statement, values).rowcount == 1

    def insert_all(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert the rows whose key is not there yet."""
        if self.is_sqlite:
            prepared.insert_missing(self.connection, table, rows)
            return
        statement = _insert_missing(table)
        self.connection.execute(statement, rows)

    def insert_all_missing(
        self, table: Table, rows: Sequence[Mapping[str, Any]], key: Column[str]
    ) -> set[str]:
        """Insert the rows whose key is not there yet; the keys that were inserted."""
        if self.is_sqlite:
            inserted = prepared.insert_missing(self.connection, table, rows)
            return {row[key.name] for row in inserted}
        statement = _insert_returning(table, key)
        return set(self.connection.execute(statement, rows).scalars())

    def note(self, event: Event) -> None:
        """Write ``event`` with this transaction."""
        self._events.append(event)

    @property
    def kinds(self) -> set[str]:
        """Of the noted events."""
        return {event.kind for event in self._events}

    def lock_migrations(self) -> None:
        """Wait for other migrations (SQLite: the file lock already does)."""
        if not self.is_sqlite:
            self.connection.execute(_MIGRATION_LOCK)

    def flush(self) -> None:
        """Write the noted events."""
        if not self._events:
            return
        if not self.is_sqlite:
            kinds = ",".join(sorted(self.kinds))
            self.connection.execute(_EVENT_LOCK, {"kinds": kinds})
        rows = [
            {name: getattr(event, name) for name in Event.__slots__}
            for event in self._events
        ]
        self.insert(events, rows)


def walk_in_order(connection: Connection) -> None:
    """PostgreSQL, for this transaction: find the first rows by walking along an index.

    Its statistics of a queue are always late: it takes a deep one for a short one, and
    would read and sort all of it for each claim.
    """
    if connection.dialect.name != "sqlite":
        connection.execute(_IN_ORDER)


class Database:
    """Short transactions on one worklist database, from any thread."""

    def __init__(
        self,
        writer: Engine,
        reader: Engine,
        lock: sqlite.FileLock | None = None,
        wakeups: WakeUps | None = None,
    ) -> None:
        self.wakeups = wakeups or WakeUps()
        self._writer = writer
        self._reader = reader
        self._lock = lock
        self._held: Connection | None = None
        self._failure = ""

    @property
    def is_sound(self) -> bool:
        """False once the disk has failed a write: only a new process may go on.

        After a failed sync the kernel may hold pages that look clean and are not on
        the disk, so no later sync of this process proves anything.
        """
        return not self._failure

    def _require_sound(self) -> None:
        if self._failure:
            raise DiskFailed(self._failure)

    def _exclusive(self) -> AbstractContextManager[None]:
        return self._lock.held() if self._lock else nullcontext()

    @property
    def is_sqlite(self) -> bool:
        """Whether this is the embedded database."""
        return self._writer.dialect.name == "sqlite"

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that is durable on return; raises WorklistError."""
        try:
            with translated(), self._begun() as connection:
                transaction = Transaction(connection)
                yield transaction
                transaction.flush()
            if transaction.kinds:
                self.wakeups.ring(transaction.kinds)
        except DiskFailed as error:
            self._failure = str(error)
            raise

    @contextmanager
    def _begun(self) -> Iterator[Connection]:
        with self._exclusive():
            self._require_sound()
            with self._connected() as connection, self._transaction(connection):
                yield connection

    def _transaction(self, connection: Connection) -> AbstractContextManager[object]:
        return connection.begin() if self._lock is None else sqlite.Begun(connection)

    def _connected(self) -> AbstractContextManager[Connection]:
        """SQLite: the one connection stays out of its pool, whose way takes 50 us."""
        if self._lock is None:
            return self._writer.connect()
        if self._held is None:
            self._held = self._writer.connect()
        return nullcontext(self._held)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one moment and cannot write."""
        with translated(), self._reader.connect() as connection:
            yield connection

    def checkpoint(self) -> None:
        """SQLite: move the write-ahead log into the database file and empty it."""
        self._checkpoint("TRUNCATE")

    def fold(self) -> None:
        """SQLite: the same as far as no reader is in the way; the log keeps its size.

        A commit that makes the log longer waits for the file system's own log too.
        """
        self._checkpoint("PASSIVE")

    def reserve_log(self) -> None:
        """SQLite: make the log as long as it will get, before many commits come."""
        if self.is_sqlite and self._lock:
            with self.write() as transaction:
                sqlite.reserve_log(transaction.connection)

    def _checkpoint(self, how: str) -> None:
        if not self.is_sqlite:
            return
        with translated(), self._exclusive():
            self._require_sound()
            with self._connected() as connection:
                sqlite.checkpoint(connection, how)

    def close(self) -> None:
        """Close every connection; the last writer's checkpoint runs under the lock."""
        self.wakeups.close()
        self._reader.dispose()
        with self._exclusive():
            if self._held:
                self._held.close()
                self._held = None
            self._writer.dispose()
        if self._lock:
            self._lock.close()


@cache
def _insert_missing(table: Table) -> Executable:
    statement = postgresql.insert(table).on_conflict_do_nothing().inline()
    return statement.execution_options(preserve_rowcount=True)


@cache
def _insert_returning(table: Table, key: Column[str]) -> Executable:
    return postgresql.insert(table).on_conflict_do_nothing().returning(key)


def open_database(url: str) -> Database:
    """A database to read and write; raises WorklistError."""
    with translated():
        parsed = parse(url)
        return _sqlite(parsed) if is_sqlite(parsed) else _postgresql(parsed)


def open_readonly(url: str) -> Database:
    """A database that nothing can be written to; raises WorklistError."""
    with translated():
        parsed = parse(url)
        if is_sqlite(parsed):
            path = sqlite.database_path(parsed)
            sqlite.require_file(path)
            reader = sqlite.reader_engine(path)
        else:
            reader = _engine(parsed, _POSTGRESQL_OPTIONS + _READ_ONLY)
        return Database(reader, reader, wakeups=_of(parsed))


def parse(url: str) -> URL:
    """The parts of a URL; raises WorklistError for what we cannot use."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise WorklistError(_unusable("it is not a URL")) from error
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise WorklistError(_unusable(f"{parsed.get_backend_name()} is not supported"))
    return parsed


def is_sqlite(url: URL) -> bool:
    """Whether ``url`` names the embedded database."""
    return url.get_backend_name() == "sqlite"


def _unusable(why: str) -> str:
    return (
        f"[database] url cannot be used, {why}; write sqlite:///<path> or "
        "postgresql+psycopg://user@host/database"
    )


def _sqlite(url: URL) -> Database:
    path = sqlite.database_path(url)
    sqlite.refuse_network_folder(path)
    lock = sqlite.FileLock(sqlite.lock_path(path))
    return Database(sqlite.writer_engine(path), sqlite.reader_engine(path), lock)


def _postgresql(url: URL) -> Database:
    engine = _engine(url, _POSTGRESQL_OPTIONS)
    readonly = engine.execution_options(postgresql_readonly=True)
    return Database(engine, readonly, wakeups=_of(url))


def _of(url: URL) -> WakeUps:
    if is_sqlite(url):
        return WakeUps()
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)

    def connect() -> psycopg.Connection:
        # The extra that only PostgreSQL needs.
        import psycopg  # noqa: PLC0415
        from psycopg.conninfo import make_conninfo  # noqa: PLC0415

        return psycopg.connect(make_conninfo(plain, **_LINE), autocommit=True)

    return WakeUps(connect)


def _engine(url: URL, options: str) -> Engine:
    # pre_ping finds connections that a restarted server has dropped.
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        connect_args={"options": options, **_LINE},
    )
