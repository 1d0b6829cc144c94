"""The folders of the store: opened without following links, made durable once."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from dicomnode.store import layout

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_REMEMBERED = 4096
# The folders of the studies that come in now; so long is a path not looked up again.
_KEPT, _KEPT_SECONDS = 16, 1.0


class OpenFolder:
    """A folder that stays open for as long as somebody has this object.

    ``mark``: what tells it from others, also from a later one of the same name.
    """

    def __init__(self, name: str, fd: int) -> None:
        self.fd = fd
        self.mark = (name, os.fstat(fd).st_ino)

    def __del__(self) -> None:
        os.close(self.fd)


class Folders:
    """Opens folders below ``root``, two levels deep, and makes missing ones.

    Whoever made a folder may not have synced its entry yet, so each process does so
    itself the first time it meets the folder. Safe for many threads.
    """

    def __init__(
        self, root: Path, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._monotonic = monotonic
        self._incoming: OpenFolder | None = None
        # No two processes give the same name, and O_EXCL would tell if they did.
        self._prefix, self._numbers = secrets.token_hex(12), count()
        self._kept: dict[str, tuple[OpenFolder, float]] = {}
        self._durable: set[tuple[str, int]] = set()
        self._syncs = SharedSyncs()

    def staged(self, flags: int, mode: int) -> tuple[OpenFolder, str, int]:
        """A new file in ``layout.INCOMING``: its folder, name, and descriptor."""
        name = f"{self._prefix}{next(self._numbers):08x}{layout.PART}"
        if (into := self._incoming) is not None:
            # Somebody may have removed the folder that we have open.
            with suppress(FileNotFoundError):
                return into, name, os.open(name, flags, mode, dir_fd=into.fd)
        into = self._incoming = self.opened(layout.INCOMING, new=True)
        return into, name, os.open(name, flags, mode, dir_fd=into.fd)

    def opened(self, folder: str, new: bool = False) -> OpenFolder:
        """``folder``, as it was a moment ago, or is now; raises OSError.

        ``new``: it may be another one than before, under the same name. In one that is
        gone nothing can be made or named: that is a FileNotFoundError.
        """
        now = self._monotonic()
        kept, ends_at = self._kept.get(folder, (None, now))
        if kept is not None and now < ends_at and not new:
            return kept
        path = self._root / folder
        made = OpenFolder(path.name, self._open(path))
        self._sync_parents(path, made, new)
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        self._kept[folder] = made, now + _KEPT_SECONDS
        return made

    def sync(self, folder: OpenFolder) -> None:
        """What was done in ``folder`` before is durable after; raises OSError."""
        self._syncs.sync(folder.mark, folder.fd)

    def _open(self, path: Path) -> int:
        with suppress(FileNotFoundError):
            return os.open(path, _OPEN)
        path.mkdir(parents=True, exist_ok=True)
        return os.open(path, _OPEN)

    def _sync_parents(self, path: Path, folder: OpenFolder, new: bool) -> None:
        if folder.mark in self._durable and not new:
            return
        try:
            sync_folder(path.parent)
            sync_folder(self._root)
        except OSError:
            # To be made anew: a second sync of the same entries would prove nothing.
            self._remove_empty(path)
            raise
        if len(self._durable) >= _REMEMBERED:
            self._durable.clear()
        self._durable.add(folder.mark)

    def _remove_empty(self, path: Path) -> None:
        with suppress(OSError):
            while path != self._root:
                path.rmdir()
                path = path.parent


@dataclass(slots=True)
class _Turns:
    """Numbers of requests for one folder: the last one, and how far they are done.

    ``failures``: of a sync that has failed, the first and last request it served.
    """

    requested: int = 0
    done: int = 0
    is_running: bool = False
    n_inside: int = 0
    failures: list[tuple[int, int, OSError]] = field(default_factory=list)

    def check(self, ours: int) -> None:
        """Raise OSError if the sync that served ``ours`` has failed."""
        for first, last, error in self.failures:
            if first <= ours <= last:
                raise OSError(error.errno, error.strerror)


class SharedSyncs:
    """One fsync serves all who asked before it began.

    A failure fails all of them: the kernel reports it once, so a second fsync would say
    that all is well though the entries are lost.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._turns: dict[tuple[str, int], _Turns] = {}

    def sync(self, key: tuple[str, int], fd: int) -> None:
        """Sync ``fd``, which stands for ``key``; raises OSError."""
        with self._changed:
            turns = self._turns.setdefault(key, _Turns())
            turns.n_inside += 1
            turns.requested += 1
            ours = turns.requested
        try:
            while self._is_mine_to_do(turns, ours):
                self._run(turns, fd)
        finally:
            with self._changed:
                turns.n_inside -= 1
                if not turns.n_inside:
                    self._turns.pop(key, None)

    def _is_mine_to_do(self, turns: _Turns, ours: int) -> bool:
        with self._changed:
            while turns.is_running and ours > turns.done:
                self._changed.wait()
            if ours <= turns.done:
                turns.check(ours)
                return False
            turns.is_running = True
            return True

    def _run(self, turns: _Turns, fd: int) -> None:
        with self._changed:
            first, last = turns.done + 1, turns.requested
        failures: list[tuple[int, int, OSError]] = []
        try:
            os.fsync(fd)
        except OSError as error:
            failures = [(first, last, error)]
        with self._changed:
            turns.is_running, turns.done = False, last
            turns.failures += failures
            self._changed.notify_all()


def sync_folder(folder: Path) -> None:
    """Make the entries of ``folder`` durable; raises OSError."""
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)
