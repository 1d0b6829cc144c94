"""Is the embedded database whole? Damaged pages are found before they are believed."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from dicomnode.errors import WorklistError
from dicomnode.worklist import engine, sqlite
from dicomnode.worklist.translation import RESTORE, translated

_STEPS = 1_000
"""Instructions of SQLite's machine between two looks at the time."""


def check_pages(url: str, seconds: float | None = None) -> bool:
    """Read the database and find damaged pages; raises WorklistError for one.

    ``seconds`` bounds the time (SQLite before 3.41 looks at it after each table only);
    False: it ended before the check did, and what was read is sound. A database that
    is not there yet is sound, and so is PostgreSQL, which checks its pages itself.
    """
    parsed = engine.parse(url)
    if not engine.is_sqlite(parsed):
        return True
    path = sqlite.database_path(parsed)
    return not path.exists() or check_file(path, seconds)


def check_file(path: Path, seconds: float | None = None, *, full: bool = False) -> bool:
    """As ``check_pages``, for a file; ``full`` compares indexes and tables too."""
    with translated(), closing(sqlite.plain_reader(path)) as connection:
        if seconds is not None:
            end = time.monotonic() + seconds
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
        try:
            report = _report(connection, full)
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
            return False
    if report != "ok":
        raise WorklistError(
            f"the worklist database {path} is damaged: {report}; {RESTORE}"
        )
    return True


def _report(connection: sqlite3.Connection, full: bool) -> str:
    pragma = "integrity_check(1)" if full else "quick_check(1)"
    report = str(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
    return " ".join(report.split())
