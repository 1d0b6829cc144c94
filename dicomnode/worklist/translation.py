"""Errors of the database become WorklistError here, each with its remedy.

The text of a driver is cut to its first line and the parameters are left out, so that
no patient data reaches a message or a log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from dicomnode.errors import WorklistError

RESTORE = (
    "stop the node and restore a backup with `dicomnode db restore FILE`, or move the "
    "file away; then `dicomnode reconcile --repair` finds what is missing in the store"
)
"""What to do about a damaged database."""

_SERVER = "check that the server runs and that [database] url is right"

_REMEDIES = (
    ("locked", "end the program that holds the database; `dicomnode doctor` names it"),
    ("busy", "end the program that holds the database; `dicomnode doctor` names it"),
    ("lock timeout", "end the session that holds the lock; see pg_stat_activity"),
    ("readonly", "make the database file and its folder writable for this user"),
    ("read-only", "open it for writing: this connection may only read"),
    ("disk is full", "free space on the disk of node.data_dir"),
    ("no space", "free space on the disk of the database server"),
    ("disk i/o", "check the disk, then restart the node: a sync failed"),
    ("unable to open", "check that the folder of the database exists and is readable"),
    ("malformed", RESTORE),
    ("not a database", RESTORE),
    ("no such table", "run `dicomnode db upgrade`"),
    ("does not exist", "create the database, then run `dicomnode db upgrade`"),
    ("password", "check the user in [database] url and its credentials"),
    ("permission denied", "grant this user the rights on the database"),
    ("connection", _SERVER),
    ("connect", _SERVER),
)


class Unavailable(WorklistError):
    """The database as a whole cannot be used now; trying at once would not help."""

    retryable: ClassVar[bool] = True


class DiskFailed(Unavailable):
    """The disk failed under the database: what it says it keeps cannot be believed."""

    lasting: ClassVar[bool] = True


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the database raises as WorklistError."""
    try:
        yield
    except PoolTimeout as error:
        message = "no free database connection; start fewer roles or workers"
        raise Unavailable(message) from error
    except DBAPIError as error:
        kind = Unavailable if error.connection_invalidated else _kind(error.orig)
        raise kind(_message(str(error.orig))) from error
    except sqlite3.Error as error:
        raise _kind(error)(_message(str(error))) from error
    except (SQLAlchemyError, ValueError, OverflowError) as error:
        raise WorklistError(_message(str(error))) from error


def _kind(error: BaseException | None) -> type[WorklistError]:
    # sqlite3 raises OperationalError for locks, full disks and I/O errors alone, and a
    # bare DatabaseError for a broken file; psycopg raises the first also for a
    # deadlock, after which the same work may well succeed.
    if _primary_code(error) == sqlite3.SQLITE_IOERR:
        return DiskFailed
    kind = type(error)
    broken = kind.__module__ == "sqlite3" and kind.__name__ == "DatabaseError"
    return (
        Unavailable if broken or kind.__name__ == "OperationalError" else WorklistError
    )


def _primary_code(error: BaseException | None) -> int | None:
    # The extended code says which call failed, its low byte that one did.
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def _message(text: str) -> str:
    first = (text.splitlines() or ["unknown error"])[0].rstrip(".")
    known = (remedy for part, remedy in _REMEDIES if part in first.lower())
    return f"the worklist database failed: {first}; {next(known, _OTHERWISE)}"


_OTHERWISE = "run `dicomnode doctor`"
