"""The store on a local disk."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.errors import ConfigError, ReceiveError, StoreFull
from dicomnode.ports import Buffer, Usage
from dicomnode.store import file_meta, layout

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_OUT_OF_RESOURCES = 0xA700
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_USAGE_SECONDS = 1.0
_REMEMBERED_FOLDERS = 4096
_FOLDER_ATTEMPTS = 3
_BLOCK_BYTES = 1 << 20


class LocalStore:
    """An InstanceStore in the folder ``root``, which is made if it is missing.

    ``watermark_percent``: above it ``put`` raises StoreFull. Safe for many threads and
    for several processes on one folder. Durable order: stage (O_EXCL), write, fsync,
    rename, fsync the folder, and the parents of a folder seen for the first time.
    Raises ConfigError when the folder cannot be used.
    """

    def __init__(
        self,
        root: Path,
        watermark_percent: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = root
        self._watermark_percent = watermark_percent
        self._monotonic = monotonic
        self._naming = threading.Lock()
        self._durable_folders: set[tuple[str, int]] = set()
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
        self._refuse_above_watermark()
        try:
            return self._write(key, chunks)
        except OSError as error:
            raise _refusal(error) from error

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
            _sync_folder(path.parent)
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
        """Remove ``.part`` files last written before ``older_than``; how many."""
        removed = 0
        for path in self._files():
            if path.suffix == layout.PART and _written_before(path, older_than):
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _make_root(self) -> Usage:
        missing = [one for one in (self._root, *self._root.parents) if not one.exists()]
        self._root.mkdir(parents=True, exist_ok=True)
        for made in missing:
            _sync_folder(made.parent)
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

    def _write(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        folder = layout.folder(key.study_instance_uid)
        with self._staged(folder, key.sop_instance_uid) as (folder_fd, part, fd, undo):
            content, n_bytes = _copy(fd, file_meta.encode(key), chunks)
            # Never tried again after a failure: the pages may be gone, yet look clean.
            os.fsync(fd)
            name = self._publish(folder_fd, part, key.sop_instance_uid, content)
            undo.pop_all()
            os.fsync(folder_fd)
        return StoredInstance(f"{folder}/{name}", n_bytes, content)

    @contextmanager
    def _staged(
        self, folder: str, sop_instance_uid: str
    ) -> Iterator[tuple[int, str, int, ExitStack]]:
        """A folder with a new open ``.part``, removed unless ``undo`` is emptied."""
        part = f"{sop_instance_uid}.{secrets.token_hex(8)}{layout.PART}"
        with ExitStack() as closing, ExitStack() as undo:
            folder_fd, fd = self._open_pair(self._root / folder, part)
            closing.callback(os.close, folder_fd)
            closing.callback(os.close, fd)
            undo.callback(_remove_quietly, part, folder_fd)
            yield folder_fd, part, fd, undo

    def _open_pair(self, folder: Path, part: str) -> tuple[int, int]:
        for attempt in range(_FOLDER_ATTEMPTS):
            with suppress(FileNotFoundError):
                return self._open_once(folder, part, new=attempt > 0)
            # The folder is new, or housekeeping removed it between our two calls.
            folder.mkdir(parents=True, exist_ok=True)
        return self._open_once(folder, part, new=True)

    def _open_once(self, folder: Path, part: str, new: bool) -> tuple[int, int]:
        folder_fd = os.open(folder, _OPEN_FOLDER)
        try:
            self._sync_parents(folder, folder_fd, new)
            return folder_fd, os.open(part, _CREATE, 0o640, dir_fd=folder_fd)
        except OSError:
            os.close(folder_fd)
            raise

    def _sync_parents(self, folder: Path, folder_fd: int, new: bool) -> None:
        # Whoever made the folder may not have synced its entry yet, so each process
        # does so itself the first time it meets the folder.
        mark = (folder.name, os.fstat(folder_fd).st_ino)
        if mark in self._durable_folders and not new:
            return
        try:
            _sync_folder(folder.parent)
            _sync_folder(self._root)
        except OSError:
            # To be made anew: a second sync of the same entries would prove nothing.
            with suppress(OSError):
                folder.rmdir()
                folder.parent.rmdir()
            raise
        if len(self._durable_folders) >= _REMEMBERED_FOLDERS:
            self._durable_folders.clear()
        self._durable_folders.add(mark)

    def _publish(
        self, folder_fd: int, part: str, sop_instance_uid: str, content: str
    ) -> str:
        """Give ``part`` its final name, never in place of other content."""
        short, full = layout.names(sop_instance_uid, content)
        with self._naming:
            if not _exists(short, folder_fd):
                os.rename(part, short, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
                return short
        if _content(short, folder_fd) == content:
            # In place of the same content: a sync of what is there may have failed
            # before, and only a new file and a new entry make the next one count.
            os.rename(part, short, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            return short
        # Another content with the same first digits, or a damaged file.
        os.rename(part, full, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        return full


def _copy(fd: int, head: bytes, chunks: Iterable[Buffer]) -> tuple[str, int]:
    _write_all(fd, memoryview(head))
    digest, n_bytes = sha256(), 0
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        digest.update(view)
        n_bytes += len(view)
        _write_all(fd, view)
    return digest.hexdigest(), n_bytes


def _write_all(fd: int, view: memoryview) -> None:
    while view:
        view = view[os.write(fd, view) :]


def _content(name: str, folder_fd: int) -> str:
    with os.fdopen(os.open(name, _READ, dir_fd=folder_fd), "rb") as file:
        file.seek(file_meta.data_set_offset(file.read(file_meta.HEAD_BYTES)))
        digest = sha256()
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _exists(name: str, folder_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _remove_quietly(part: str, folder_fd: int) -> None:
    # What went wrong before is the error to report; a leftover is swept later.
    with suppress(OSError):
        os.unlink(part, dir_fd=folder_fd)


def _sync_folder(folder: Path) -> None:
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


def _entries(folder: Path) -> list[Path]:
    """What lies in ``folder``; nothing if it is gone meanwhile or no folder."""
    try:
        return [folder / entry for entry in os.listdir(folder)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _written_before(path: Path, instant: datetime) -> bool:
    try:
        return path.stat().st_mtime < instant.timestamp()
    except FileNotFoundError:
        return False


def _refusal(error: OSError) -> ReceiveError:
    reason = f"the store could not write ({error.strerror or type(error).__name__})"
    if error.errno in _FULL:
        return StoreFull(f"{reason}; free space on its disk")
    # The sender keeps its copy and sends again (PS3.4 B.2.3).
    return ReceiveError(f"{reason}; check its disk and folder", _OUT_OF_RESOURCES)
