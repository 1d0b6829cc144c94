"""Who has the embedded database open: a shared lock that ends with its process.

Restoring, downgrading and copying need to be alone. SQLite's own locks cannot tell,
because they are given back between transactions.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dicomnode.errors import WorklistError
from dicomnode.worklist import engine, sqlite


def users_path(database: Path) -> Path:
    """The file that every user of ``database`` has a lock on."""
    return database.with_name(f"{database.name}.users")


def joined(url: str) -> ExitStack:
    """Be one of the users until the answer is closed.

    Raises WorklistError while another program is alone with the database.
    """
    stack = ExitStack()
    parsed = engine.parse(url)
    # Where there is no database, whoever opens it says so, and leaves nothing.
    if engine.is_sqlite(parsed) and sqlite.database_path(parsed).exists():
        _lock(stack, sqlite.database_path(parsed), fcntl.LOCK_SH)
    return stack


@contextmanager
def alone(url: str) -> Iterator[None]:
    """Be the only user; raises WorklistError while a role or command runs.

    PostgreSQL: not found out, its sessions may be on any machine.
    """
    with ExitStack() as stack:
        parsed = engine.parse(url)
        if engine.is_sqlite(parsed):
            _lock(stack, sqlite.database_path(parsed), fcntl.LOCK_EX)
        yield


def _lock(stack: ExitStack, database: Path, how: int) -> None:
    path = users_path(database)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise WorklistError(
            f"cannot open {path}: {error.strerror}; make the folder of the database "
            "writable for this user"
        ) from error
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        stack.close()
        raise WorklistError(
            f"{database} is in use; stop the node and every other `dicomnode` command "
            "on it, then try again"
        ) from None
