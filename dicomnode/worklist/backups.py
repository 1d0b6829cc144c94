"""Backups of the embedded database: taken while the node runs, checked, put back.

A backup is one file that opens with any SQLite. It gets its name only when it is whole,
checked and synced.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from dicomnode.errors import WorklistError
from dicomnode.worklist import engine, sqlite
from dicomnode.worklist.integrity import check_file
from dicomnode.worklist.presence import alone
from dicomnode.worklist.translation import translated

PART = ".part"


def backup(url: str, target: Path) -> None:
    """Copy the database to ``target``, which must not exist; raises WorklistError."""
    path = _embedded(url, "pg_dump")
    sqlite.require_file(path)
    if target.exists():
        raise WorklistError(f"{target} exists; name another file for the backup")
    save(path, target)


def save(path: Path, target: Path) -> None:
    """Copy the database file ``path`` as it is this moment, writers or not.

    ``target`` is replaced, in one step. Raises WorklistError.
    """
    part = target.with_name(f"{target.name}{PART}")
    try:
        with translated():
            _copy(path, part)
        check_file(part, full=True)
        _publish(part, target)
    except OSError as error:
        raise WorklistError(
            f"cannot write the backup {target}: {error.strerror}; name a folder that "
            "is there, is writable and has room"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def kept_before(path: Path, revision: str) -> Path:
    """Save the database before its schema changes from ``revision``; where."""
    target = path.with_name(f"{path.name}.schema-{revision}")
    save(path, target)
    return target


def restore(url: str, source: Path, now: datetime) -> Path | None:
    """Put a backup in the place of the database; where the old one is kept, if any.

    Raises WorklistError while the node runs, and for a file that is no sound backup.
    """
    path = _embedded(url, "pg_restore")
    if not source.is_file():
        raise WorklistError(f"there is no backup {source}; name the file of one")
    check_file(source, full=True)
    _refuse_foreign(source)
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(url):
        return _replace(path, source, now)


def _replace(path: Path, source: Path, now: datetime) -> Path | None:
    part = path.with_name(f"{path.name}{PART}")
    try:
        with translated():
            _copy(source, part)
        aside = _keep_aside(path, now) if path.exists() else None
        for log in _logs(path):
            log.unlink(missing_ok=True)
        _publish(part, path)
    except OSError as error:
        raise WorklistError(
            f"cannot restore to {path}: {error.strerror}; the old database is as it "
            "was: free space there and try again"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return aside


def _keep_aside(path: Path, now: datetime) -> Path:
    """Second names for the old database and its log, which no crash can lose."""
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.replaced-{stamp}")
    os.link(path, aside)
    for log in _logs(path):
        if log.exists():
            os.link(log, aside.with_name(log.name.replace(path.name, aside.name)))
    return aside


def _logs(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _copy(path: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    os.close(descriptor)
    with (
        closing(sqlite.plain_reader(path)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode=DELETE")


def _publish(part: Path, target: Path) -> None:
    _sync(part)
    part.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_foreign(source: Path) -> None:
    with translated(), closing(sqlite.plain_reader(source)) as connection:
        found = connection.execute(
            "SELECT name FROM sqlite_master WHERE name = 'alembic_version'"
        ).fetchone()
    if found is None:
        raise WorklistError(
            f"{source} is no worklist database; name a file that `dicomnode db backup` "
            "has written"
        )


def _embedded(url: str, tool: str) -> Path:
    parsed = engine.parse(url)
    if not engine.is_sqlite(parsed):
        raise WorklistError(
            f"the worklist is on PostgreSQL; use its own {tool}, or `dicomnode db copy`"
        )
    return sqlite.database_path(parsed)
