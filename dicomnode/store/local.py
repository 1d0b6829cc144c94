"""The store on a local disk."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.errors import ConfigError, ReceiveError, StoreFull
from dicomnode.ports import Buffer, Usage
from dicomnode.store import layout
from dicomnode.store.folders import Folders, sync_folder
from dicomnode.store.incoming import IncomingFile, is_stale

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OUT_OF_RESOURCES = 0xA700
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_USAGE_SECONDS = 1.0

OpenIncoming = Callable[
    [Folders, threading.Lock, InstanceKey, Callable[[OSError], Exception]], IncomingFile
]
"""What makes a file for a data set that comes in."""


class LocalStore:
    """An InstanceStore and Staging in the folder ``root``, made if it is missing.

    ``watermark_percent``: above it ``put`` and ``stage`` raise StoreFull. Safe for many
    threads and for several processes on one folder. Durable order: stage (O_EXCL),
    write, fsync, rename, fsync the folder; before the rename the parents of a folder
    seen for the first time. Raises ConfigError when the folder cannot be used.
    ``incoming`` may make files that are kept in another way.
    """

    def __init__(
        self,
        root: Path,
        watermark_percent: float,
        monotonic: Callable[[], float] = time.monotonic,
        incoming: OpenIncoming = IncomingFile,
    ) -> None:
        self._root = root
        self._open_incoming = incoming
        self._watermark_percent = watermark_percent
        self._monotonic = monotonic
        self._naming = threading.Lock()
        self._folders = Folders(root)
        try:
            self._usage = self._make_root()
        except OSError as error:
            message = (
                f"the folder of the store, {root}, cannot be used ({error.strerror}); "
                "make it writable, or set node.data_dir to another folder"
            )
            raise ConfigError(message) from error
        self._usage_at = monotonic()

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        """Keep a data set durably. Raises StoreFull, Unreadable, ReceiveError.

        ``n_bytes`` and ``sha256`` of the answer are of the data set as transmitted.
        """
        layout.check(key)
        incoming = self.stage(key)
        try:
            for chunk in chunks:
                incoming.write((chunk,))
            return incoming.keep(key)
        except OSError as error:
            raise _refusal(error) from error
        finally:
            incoming.discard()

    def stage(self, key: InstanceKey) -> IncomingFile:
        """An empty file for the data set that a command announces."""
        layout.check_command(key)
        self._refuse_above_watermark()
        return self._open_incoming(self._folders, self._naming, key, _refusal)

    def open(self, location: str) -> BinaryIO:
        """The file, with preamble and file meta. Raises FileNotFoundError."""
        return os.fdopen(os.open(self._path(location), _READ), "rb")

    def delete(self, location: str) -> None:
        """Remove a file and then its folder, if that was the last one in it.

        Raises FileNotFoundError for what is no location of this store.
        """
        path = self._path(location)
        try:
            path.unlink()
            sync_folder(path.parent)
        except FileNotFoundError:
            return
        with suppress(OSError):
            path.parent.rmdir()

    def usage(self) -> Usage:
        """Room on the file system as `df` counts it: without what root keeps back."""
        disk = shutil.disk_usage(self._root)
        return Usage(total_bytes=disk.used + disk.free, free_bytes=disk.free)

    def locations(self) -> Iterable[str]:
        """Every location, folder by folder."""
        for path in self._files():
            location = path.relative_to(self._root).as_posix()
            if layout.is_location(location):
                yield location

    def sweep(self, older_than: datetime) -> int:
        """Remove ``.part`` files last written before ``older_than``; how many.

        In the folders of the studies too, where earlier versions had them.
        """
        removed = 0
        for path in (*_entries(self._root / layout.INCOMING), *self._files()):
            if is_stale(path, older_than.timestamp()):
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _make_root(self) -> Usage:
        missing = [one for one in (self._root, *self._root.parents) if not one.exists()]
        self._root.mkdir(parents=True, exist_ok=True)
        for made in missing:
            sync_folder(made.parent)
        # Whoever made it may have been killed before its sync.
        with suppress(PermissionError):
            sync_folder(self._root.parent)
        return self.usage()

    def _path(self, location: str) -> Path:
        if not layout.is_location(location):
            raise FileNotFoundError(errno.ENOENT, "no location of this store")
        return self._root / location

    def _files(self) -> Iterator[Path]:
        for shard in _entries(self._root):
            for folder in _entries(shard):
                yield from _entries(folder)

    def _refuse_above_watermark(self) -> None:
        now = self._monotonic()
        if now - self._usage_at >= _USAGE_SECONDS:
            self._usage, self._usage_at = self.usage(), now
        used_percent = self._usage.used_percent
        if used_percent >= self._watermark_percent:
            message = (
                f"the disk of the store is {used_percent:.0f} % full; free space, or "
                f"raise store.watermark_percent = {self._watermark_percent:g}"
            )
            raise StoreFull(message)


def _entries(folder: Path) -> list[Path]:
    """What lies in ``folder``; nothing if it is gone meanwhile or no folder."""
    try:
        return [folder / entry for entry in os.listdir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _refusal(error: OSError) -> ReceiveError:
    reason = f"the store could not write ({error.strerror or type(error).__name__})"
    if error.errno in _FULL:
        return StoreFull(f"{reason}; free space on its disk")
    # The sender keeps its copy and sends again (PS3.4 B.2.3).
    return ReceiveError(f"{reason}; check its disk and folder", _OUT_OF_RESOURCES)
