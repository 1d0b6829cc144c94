"""A worklist moves to another database, with every row counted and compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, RowMapping, Table, func, insert, select, text

from dicomnode.errors import WorklistError
from dicomnode.views import utc_text
from dicomnode.worklist import state_counts
from dicomnode.worklist.engine import Database, open_database, open_readonly
from dicomnode.worklist.presence import alone
from dicomnode.worklist.schema import metadata
from dicomnode.worklist.upgrading import check, upgrade

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Copied:
    """A table that is the same in both databases: how many rows, and their digest."""

    table: str
    n_rows: int
    sha256: str


def copy(source: str, target: str) -> Sequence[Copied]:
    """Copy every table to an empty database, and compare what is there afterwards.

    All or nothing. Raises WorklistError while a node runs on an embedded one of them,
    for a target that holds rows, and for a difference.
    """
    check(source, exact=True)
    upgrade(target)
    with alone(source), alone(target):
        _refuse_filled(target)
        with (
            closing(open_readonly(source)) as from_database,
            closing(open_database(target)) as to_database,
        ):
            before = _copy_all(from_database, to_database)
            after = _digests(to_database)
            with to_database.read() as connection:
                miscounted = state_counts.wrong(connection)
    if before != after or miscounted:
        tables = [one.table for one in before if one not in after]
        wrong = ", ".join(
            [*tables, *([state_counts.state_counts.name] if miscounted else ())]
        )
        raise WorklistError(
            f"the copy differs in {wrong}; drop the target database and copy again"
        )
    return before


def _tables() -> list[Table]:
    """Every table; what is derived from others derives itself anew in the copy."""
    every = metadata.sorted_tables
    return [table for table in every if not table.info.get("derived")]


def _copy_all(source: Database, target: Database) -> list[Copied]:
    with source.read() as reading, target.write() as transaction:
        _see_one_moment(reading, source)
        copied = []
        for table in _tables():
            digest = _Digest(table)
            for rows in _chunks(reading, table):
                transaction.connection.execute(
                    insert(table), [dict(row) for row in rows]
                )
                digest.add(rows)
            copied.append(digest.copied())
        if not target.is_sqlite:
            _set_counters(transaction.connection)
    return copied


def _digests(database: Database) -> list[Copied]:
    with database.read() as connection:
        found = []
        for table in _tables():
            digest = _Digest(table)
            for rows in _chunks(connection, table):
                digest.add(rows)
            found.append(digest.copied())
    return found


def _see_one_moment(connection: Connection, database: Database) -> None:
    if not database.is_sqlite:
        level = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
        connection.execute(text(level))


def _chunks(connection: Connection, table: Table) -> Iterator[Sequence[RowMapping]]:
    # Keys are ASCII text that sorts by code point on both databases, or numbers.
    everything = select(table).order_by(*table.primary_key.columns)
    streamed = connection.execution_options(yield_per=_AT_ONCE)
    return streamed.execute(everything).mappings().partitions()


class _Digest:
    """The SHA-256 of a table's rows, in the order of their keys."""

    def __init__(self, table: Table) -> None:
        self._table = table.name
        self._n_rows = 0
        self._sha256 = sha256()

    def add(self, rows: Sequence[RowMapping]) -> None:
        """Take the next rows in."""
        for row in rows:
            line = json.dumps(
                [_plain(value) for value in row.values()], ensure_ascii=True
            )
            self._sha256.update(line.encode() + b"\n")
        self._n_rows += len(rows)

    def copied(self) -> Copied:
        """What has been taken in."""
        return Copied(self._table, self._n_rows, self._sha256.hexdigest())


def _plain(value: object) -> object:
    return utc_text(value) if isinstance(value, datetime) else value


def _refuse_filled(url: str) -> None:
    with closing(open_readonly(url)) as database, database.read() as connection:
        for table in _tables():
            count = connection.execute(select(func.count()).select_from(table)).scalar()
            if count:
                raise WorklistError(
                    f"the target database holds {count} row(s) in {table.name}; "
                    "name an empty one"
                )


def _set_counters(connection: Connection) -> None:
    """PostgreSQL: the next number of each counting column follows the greatest."""
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        # Names of our own schema, no value of anybody.
        query = (
            f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "  # noqa: S608
            f"greatest(max({column.name}), 1), max({column.name}) IS NOT NULL) "
            f"FROM {table.name}"
        )
        connection.execute(text(query))
