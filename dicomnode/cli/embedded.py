"""The v1 views of the embedded database, by the standard library.

`status` and `tail` are typed often and must answer at once; SQLAlchemy alone takes
longer to import than all they do. A test holds it against
``dicomnode.worklist.Views``, which serves PostgreSQL.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dicomnode.errors import WorklistError
from dicomnode.views import Record, Views

_LOCK_SECONDS = 10.0


class EmbeddedViews(Views):
    """The views of the SQLite file at ``path``; raises WorklistError."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            message = f"no worklist database at {path}; `dicomnode init` creates it"
            raise WorklistError(message)
        with _translated():
            self._connection = sqlite3.connect(
                _uri(path), uri=True, isolation_level=None, timeout=_LOCK_SECONDS
            )
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA query_only=ON")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def mark(self) -> object:
        """Another one as soon as another connection has committed.

        A question that reads no page of the database but its header.
        """
        return self._run("PRAGMA data_version", {})[0]["data_version"]

    def _run(self, query: str, values: Mapping[str, object]) -> list[Record]:
        with _translated():
            return [dict(row) for row in self._connection.execute(query, dict(values))]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        remedy = "make the file readable for this user, or `dicomnode db check`"
        if "no such table" in str(error):
            remedy = "run `dicomnode db upgrade`"
        message = f"the worklist database cannot be read: {error}; {remedy}"
        raise WorklistError(message) from error


def _uri(path: Path) -> str:
    # A reader of a WAL database must be able to make the -shm file. Where it may not
    # and nobody is writing, the file is all there is.
    wal = path.with_name(f"{path.name}-wal")
    still = not wal.exists() and not os.access(path.resolve().parent, os.W_OK)
    return f"{path.resolve().as_uri()}?mode=ro{'&immutable=1' * still}"
