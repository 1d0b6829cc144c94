"""Statements that run for every instance: built once, on SQLite run by its own driver.

SQLAlchemy takes some thirty times as long to send a statement as SQLite takes to run it
(63 us against 2 us for a look-up by key), and recording one instance takes a handful.
So the text is made from the schema once, and the driver gets it as it is.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Select,
    Table,
    Update,
    or_,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection

from dicomnode.views import utc_text

_DIALECT = sqlite.dialect(paramstyle="named")


class Prepared:
    """A query or change with named parameters; its rows have attributes.

    It holds no list (``in_``), of which the text depends on its length: see `one_of`.
    """

    def __init__(self, statement: Select[Any] | Update) -> None:
        self.statement = statement
        compiled = statement.compile(dialect=_DIALECT)
        self._text = str(compiled)
        # What is no parameter of ours: constants.
        self._fixed = {k: v for k, v in compiled.params.items() if v is not None}
        names = [one.name for one in statement.exported_columns]
        self._finds = bool(names)
        self._row = namedtuple("Row", names)  # type: ignore[misc]  # of any query

    def run(
        self, connection: Connection, rows: Sequence[Mapping[str, Any]]
    ) -> Sequence[Any]:
        """Run it once for each of ``rows`` of parameters; all that it finds."""
        if connection.dialect.name != "sqlite":
            if rows and not self._finds:
                connection.execute(self.statement, list(rows))
                return []
            found = [connection.execute(self.statement, row) for row in rows]
            return [row for one in found if one.returns_rows for row in one]
        driver = _driver(connection)
        return [
            self._row(*row)
            for values in rows
            for row in driver.execute(self._text, self._fixed | plain(values))
        ]


def insert_missing(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """SQLite: insert the rows whose key is not there; those that were inserted."""
    if not rows:
        return []
    text = _insert_text(table, tuple(rows[0]), leave=True)
    execute = _driver(connection).execute
    return [row for row in rows if execute(text, plain(row)).rowcount]


def insert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """SQLite: insert rows with one set of columns."""
    text = _insert_text(table, tuple(rows[0]), leave=False)
    _driver(connection).executemany(text, [plain(row) for row in rows])


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the driver takes them: instants as text (``schema.Instant``)."""
    taken = dict(values)
    for name, value in values.items():
        if type(value) is datetime:
            taken[name] = utc_text(value)
    return taken


def one_of(column: ColumnElement[str], values: Iterable[str]) -> ColumnElement[bool]:
    """``in_`` for constants, as a prepared statement can hold it."""
    return or_(*(column == value for value in values))


def instant(value: str | datetime) -> datetime:
    """An instant that `Prepared` has read: SQLite's own driver gives it as kept."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


@cache
def _insert_text(table: Table, columns: tuple[str, ...], leave: bool) -> str:
    statement: Insert = sqlite.insert(table)
    if leave:
        statement = sqlite.insert(table).on_conflict_do_nothing()
    return str(statement.compile(dialect=_DIALECT, column_keys=list(columns)))


def _driver(connection: Connection) -> Any:
    made: DBAPIConnection | None = connection.connection.driver_connection
    return made
