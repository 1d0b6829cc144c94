"""One supervisor on a data folder: the lock, its holder, and his last reload.

Each process that was asked to take the new configuration leaves a mark when it has.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from dicomnode.errors import ConfigError
from dicomnode.health.looking import RELOAD_FILE

_LOCK_FILE = "node.lock"
_MARKS = "reload.taken"


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the data folder's lock; raises ConfigError when another node has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = (
                f"another node runs on {folder}; stop it first, "
                f"or give this one its own node.data_dir"
            )
            raise ConfigError(message) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def holder(folder: Path) -> int | None:
    """The process id of the supervisor on a data folder; None: there is none."""
    try:
        with (folder / _LOCK_FILE).open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = lock.read()
                return int(text) if text.isdecimal() else None
    except FileNotFoundError:
        pass
    return None


@dataclass(frozen=True, slots=True)
class Reload:
    """What became of the configuration; ``refused`` says why it was not taken.

    ``asked``: role and process id of each that was asked to take it too.
    """

    at: str
    refused: str = ""
    changed: Sequence[str] = ()
    waiting: Sequence[str] = ()
    asked: Sequence[tuple[str, int]] = ()


def note(folder: Path, outcome: Reload) -> None:
    """Leave it where `dicomnode reload` and the pages look."""
    path = folder / RELOAD_FILE
    with suppress(OSError):  # a full disk must not end the supervisor
        unfinished = path.with_suffix(".part")
        unfinished.write_text(json.dumps(asdict(outcome)), encoding="utf-8")
        unfinished.replace(path)


def noted(folder: Path) -> Reload | None:
    """The last one since the node was started."""
    try:
        return Reload(**json.loads((folder / RELOAD_FILE).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def forget(folder: Path) -> None:
    """A node that starts has taken its configuration as it is."""
    with suppress(OSError):
        (folder / RELOAD_FILE).unlink(missing_ok=True)


def ask_anew(folder: Path) -> None:
    """Nobody has taken the configuration that comes now."""
    with suppress(OSError):
        for mark in (folder / _MARKS).iterdir():
            mark.unlink(missing_ok=True)


def took(folder: Path) -> None:
    """This process goes by the new configuration from now on."""
    with suppress(OSError):  # a full disk must not end a role
        (folder / _MARKS).mkdir(exist_ok=True)
        (folder / _MARKS / str(os.getpid())).touch()


def has_taken(folder: Path, pid: int) -> bool:
    """Whether a process has, or is no more: the one after it has read it at start."""
    return (folder / _MARKS / str(pid)).exists() or not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
