"""Who is inside: the associations that count against the limits.

Several receiver processes on one port keep them in one file that all have mapped, so
that a limit is a limit of the node. Each writes only its own part, which its parent
wipes when it has died; a POSIX lock, which dies with its holder, makes them take turns.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_TITLE = struct.Struct("16s")
_FREE = bytes(_TITLE.size)


class Inside:
    """The accepted associations of this process by calling AE title (stripped)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._titles: Counter[str] = Counter()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else counts meanwhile; the other methods are called within."""
        with self._lock:
            yield

    def total(self) -> int:
        """How many there are."""
        return self._titles.total()

    def of(self, calling_ae_title: str) -> int:
        """How many there are of one peer."""
        return self._titles[calling_ae_title]

    def add(self, calling_ae_title: str) -> None:
        """One has been accepted."""
        self._titles[calling_ae_title] += 1

    def remove(self, calling_ae_title: str) -> None:
        """One has ended."""
        self._titles[calling_ae_title] -= 1
        if not self._titles[calling_ae_title]:
            del self._titles[calling_ae_title]


class Board:
    """The file in which processes say who is inside: ``most`` places for each.

    ``descriptor``: of a file that all of them inherit; it has no name to clean up.
    """

    def __init__(self, descriptor: int, n_processes: int, most: int) -> None:
        self.descriptor = descriptor
        self._part_bytes = most * _TITLE.size
        self._map = mmap.mmap(descriptor, n_processes * self._part_bytes)

    @classmethod
    def size_bytes(cls, n_processes: int, most: int) -> int:
        """Of its file."""
        return n_processes * most * _TITLE.size

    def wipe(self, process: int) -> None:
        """A process is gone, and with it everyone who was inside by it."""
        start = process * self._part_bytes
        self._map[start : start + self._part_bytes] = bytes(self._part_bytes)

    def titles(self) -> Iterator[bytes]:
        """Of everyone inside."""
        for (title,) in _TITLE.iter_unpack(self._map[:]):
            if title != _FREE:
                yield title

    def replace(self, process: int, old: bytes, new: bytes) -> None:
        """Write ``new`` over one place of a process that holds ``old``, if any does."""
        start = process * self._part_bytes
        for at in range(start, start + self._part_bytes, _TITLE.size):
            if self._map[at : at + _TITLE.size] == old:
                self._map[at : at + _TITLE.size] = new
                return


class SharedInside(Inside):
    """The associations of all processes with a part of ``board``; ours is ``process``.

    Two of them in one process would not exclude each other (fcntl(2)): have one.
    """

    def __init__(self, board: Board, process: int) -> None:
        super().__init__()
        self._board = board
        self._process = process

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else counts meanwhile, in no process."""
        with self._lock:
            fcntl.lockf(self._board.descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._board.descriptor, fcntl.LOCK_UN)

    def total(self) -> int:
        """How many there are."""
        return sum(1 for _ in self._board.titles())

    def of(self, calling_ae_title: str) -> int:
        """How many there are of one peer."""
        return sum(title == _padded(calling_ae_title) for title in self._board.titles())

    def add(self, calling_ae_title: str) -> None:
        """One has been accepted."""
        self._board.replace(self._process, _FREE, _padded(calling_ae_title))

    def remove(self, calling_ae_title: str) -> None:
        """One has ended."""
        self._board.replace(self._process, _padded(calling_ae_title), _FREE)


def new_board(n_processes: int, most: int) -> Board:
    """A board that nobody is on yet; its descriptor is to be inherited."""
    descriptor = os.memfd_create("dicomnode-inside")
    os.ftruncate(descriptor, Board.size_bytes(n_processes, most))
    return Board(descriptor, n_processes, most)


def _padded(calling_ae_title: str) -> bytes:
    # Padded with spaces, so that an empty title is not a free place.
    return calling_ae_title.encode(errors="replace")[: _TITLE.size].ljust(_TITLE.size)
