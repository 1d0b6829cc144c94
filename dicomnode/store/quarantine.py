"""Data sets that were refused and kept for a look at them: counted, and removed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from dicomnode.store import layout
from dicomnode.store.folders import sync_folder


class Quarantine:
    """Implements ``ports.Quarantine`` for the store in ``root``."""

    def __init__(self, root: Path) -> None:
        self._folder = root / layout.QUARANTINE

    def empty(self, older_than: datetime) -> int:
        """Remove what was refused before; how many."""
        limit, removed = older_than.timestamp(), 0
        for entry in self._entries():
            # Renamed into here, so this is when its last byte came.
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < limit:
                    os.unlink(entry.path)
                    removed += 1
        if removed:
            sync_folder(self._folder)
        return removed

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            yield from (one for one in entries if one.is_file(follow_symlinks=False))
