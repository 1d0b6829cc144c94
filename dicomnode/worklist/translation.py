"""Errors of the database become WorklistError here, each with its remedy.

The text of a driver is cut to its first line and the parameters are left out, so that
no patient data reaches a message or a log.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

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
    """The database as a whole cannot be used now; one more try would not help."""


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the database raises as WorklistError."""
    try:
        yield
    except PoolTimeout as error:
        message = "no free database connection; start fewer roles or workers"
        raise Unavailable(message) from error
    except DBAPIError as error:
        raise _kind(error)(_message(str(error.orig))) from error
    except sqlite3.Error as error:
        raise WorklistError(_message(str(error))) from error
    except (SQLAlchemyError, ValueError, OverflowError) as error:
        raise WorklistError(_message(str(error))) from error


def _kind(error: DBAPIError) -> type[WorklistError]:
    # sqlite3 raises OperationalError for locks, full disks and I/O errors alone;
    # psycopg also for a deadlock, after which the same work may well succeed.
    by_sqlite = type(error.orig).__module__ == "sqlite3"
    operational = type(error.orig).__name__ == "OperationalError"
    if error.connection_invalidated or operational or (by_sqlite and _broken(error)):
        return Unavailable
    return WorklistError


def _broken(error: DBAPIError) -> bool:
    return type(error.orig).__name__ == "DatabaseError"


def _message(text: str) -> str:
    first = (text.splitlines() or ["unknown error"])[0].rstrip(".")
    known = (remedy for part, remedy in _REMEDIES if part in first.lower())
    return f"the worklist database failed: {first}; {next(known, _OTHERWISE)}"


_OTHERWISE = "run `dicomnode doctor`"
