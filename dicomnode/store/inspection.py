"""The store looked at file by file, without writing to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BufferedReader
from pathlib import Path

from dicomnode.domain.reconciliation import Measure
from dicomnode.store import file_meta, layout

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class Inspection:
    """Implements ``ports.Stock`` on the folder of a LocalStore."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def measure(self, location: str) -> Measure | None:
        """Size and time of a file; None if it is not there or is none of ours."""
        try:
            with self.open(location) as file:
                status = os.fstat(file.fileno())
                head = file.read(file_meta.HEAD_BYTES)
        except FileNotFoundError:
            return None
        n_bytes = status.st_size
        if len(head) == file_meta.HEAD_BYTES:
            n_bytes -= file_meta.data_set_offset(head)
        return Measure(n_bytes, datetime.fromtimestamp(status.st_mtime, UTC))

    def digest(self, location: str) -> str:
        """SHA-256 of its data set as hex; raises FileNotFoundError."""
        with self.open(location) as file:
            file.seek(file_meta.data_set_offset(file.read(file_meta.HEAD_BYTES)))
            return hashlib.file_digest(file, "sha256").hexdigest()

    def locations(self) -> Iterator[str]:
        """Every location, folder by folder; one shard is in memory at a time."""
        for shard in _names(self._root):
            for study in _names(self._root / shard):
                for name in _names(self._root / shard / study):
                    location = f"{shard}/{study}/{name}"
                    if layout.is_location(location):
                        yield location

    def open(self, location: str) -> BufferedReader:
        """The complete file; raises FileNotFoundError."""
        if not layout.is_location(location):
            raise FileNotFoundError(location)
        return os.fdopen(os.open(self._root / location, _READ), "rb")

    def delete(self, location: str) -> None:
        """Remove a file for good; no error if it is gone already."""
        if layout.is_location(location):
            (self._root / location).unlink(missing_ok=True)


def _names(folder: Path) -> list[str]:
    """What lies in a folder; nothing if it is gone meanwhile or is none."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
