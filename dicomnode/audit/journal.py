"""The audit trail on disk: numbered segments that many processes append to.

One line is one syslog message (RFC 5424) whose text is the XML. A line is there in full
or not at all: a failed write is cut off again, and what a power loss has left of a line
is closed by the next writer and passed over by readers.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SEGMENT = re.compile(r"audit\.(\d{6,})\.log")
_FIRST = 1
# The messages hold patient IDs: for the service's user and its group, nobody else.
_FILE_MODE, _FOLDER_MODE = 0o640, 0o750
_READ_BYTES = 4_000_000


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the trail: number of the segment, bytes from its start."""

    segment: int = _FIRST
    offset: int = 0


class Journal:
    """Appends and reads lines; safe among threads and processes of one machine."""

    def __init__(self, folder: Path, rotate_bytes: int) -> None:
        self.folder = folder
        self._rotate_bytes = rotate_bytes

    def append(self, lines: Sequence[bytes]) -> None:
        """Write and sync ``lines``; raises OSError, and then none of them is there."""
        self.folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        with self._locked(fcntl.LOCK_EX):
            path = self._open_segment()
            is_new = not path.exists()
            _append(path, b"".join(line + b"\n" for line in lines))
            if is_new:
                _sync_folder(self.folder)

    def read(self, after: Position, limit: int) -> tuple[list[bytes], Position]:
        """At most ``limit`` lines after a position, and the position behind them."""
        if not self.folder.is_dir():
            return [], after
        with self._locked(fcntl.LOCK_SH):
            for number in self.numbers():
                if number >= after.segment:
                    offset = after.offset if number == after.segment else 0
                    lines, end = _lines(self.path_of(number), offset, limit)
                    after = Position(number, end)
                    if lines:
                        return lines, after
        return [], after

    def last(self, limit: int) -> list[bytes]:
        """At most ``limit`` lines of the end of the trail, the newest first."""
        found: list[bytes] = []
        if not self.folder.is_dir():
            return found
        with self._locked(fcntl.LOCK_SH):
            for number in reversed(self.numbers()):
                found += reversed(_end_of(self.path_of(number)))
                if len(found) >= limit:
                    break
        return found[:limit]

    def numbers(self) -> list[int]:
        """The segments that are there, the oldest first."""
        found = (_SEGMENT.fullmatch(path.name) for path in self.folder.glob("audit.*"))
        return sorted(int(match[1]) for match in found if match)

    def path_of(self, number: int) -> Path:
        """The file of a segment."""
        return self.folder / f"audit.{number:06d}.log"

    def forget(self, written_before: float, sent: Position | None) -> int:
        """Remove closed segments last written before a time; how many.

        ``written_before`` in seconds since the epoch. ``sent``: how far a target has
        them, None if there is none; what is not sent stays.
        """
        numbers = self.numbers()
        gone = [
            number
            for number in numbers[:-1]
            if (sent is None or number < sent.segment)
            and self.path_of(number).stat().st_mtime < written_before
        ]
        for number in gone:
            self.path_of(number).unlink(missing_ok=True)
        return len(gone)

    def _open_segment(self) -> Path:
        newest = (self.numbers() or [_FIRST])[-1]
        path = self.path_of(newest)
        full = path.exists() and path.stat().st_size >= self._rotate_bytes
        return self.path_of(newest + 1) if full else path

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, _FILE_MODE)
        try:
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)


def _append(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, _FILE_MODE)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        try:
            _write(descriptor, b"\n" + content if torn else content)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _lines(path: Path, offset: int, limit: int) -> tuple[list[bytes], int]:
    with path.open("rb") as file:
        file.seek(offset)
        whole, newline, _ = file.read(_READ_BYTES).rpartition(b"\n")
    if not newline:
        return [], offset
    lines = whole.split(b"\n")[:limit]
    end = offset + sum(len(line) + 1 for line in lines)
    return [line for line in lines if line.endswith(b"</AuditMessage>")], end


def _end_of(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _READ_BYTES))
        lines = file.read().split(b"\n")
    whole = lines if size <= _READ_BYTES else lines[1:]
    return [line for line in whole if line.endswith(b"</AuditMessage>")]


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
