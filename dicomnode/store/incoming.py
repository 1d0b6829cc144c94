"""A data set on its way into the store: a ``.part`` file until it is complete."""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.ports import Buffer
from dicomnode.store import file_meta, layout
from dicomnode.store.folders import Folders

_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_ATTEMPTS = 3
_BLOCK_BYTES = 1 << 20
_FLUSH_BYTES = 1 << 18
# Enough for the header of nearly every image, which is read from here.
_HEAD_BYTES = 1 << 16


class IncomingFile:
    """Implements ``ports.Incoming`` in the folder ``layout.INCOMING``.

    ``refusal`` turns an OSError into the error to raise; after one, or at ``discard``,
    nothing of the file is left. Used by one thread.
    """

    def __init__(
        self,
        folders: Folders,
        naming: threading.Lock,
        key: InstanceKey,
        refusal: Callable[[OSError], Exception],
    ) -> None:
        self._folders = folders
        self._naming = naming
        self._refusal = refusal
        self._digest = sha256()
        self._n_bytes = self._flushed = 0
        self._is_open = self._is_named = False
        # Written with the first bytes of the data set.
        self._file_meta = file_meta.encode(key)
        self._begins = len(self._file_meta)
        self._head = bytearray()
        try:
            self._incoming, self._part, self._fd = folders.staged(_CREATE, 0o640)
        except OSError as error:
            raise refusal(error) from error
        self._is_open = True

    @property
    def n_bytes(self) -> int:
        """Of the data set, so far."""
        return self._n_bytes

    @property
    def head(self) -> memoryview:
        """The first bytes of the data set."""
        return memoryview(self._head)

    def write(self, fragments: Sequence[Buffer]) -> None:
        """Append fragments of the data set. Raises StoreFull, ReceiveError."""
        views = [memoryview(fragment).cast("B") for fragment in fragments]
        try:
            self._write_file_meta(views)
            self._n_bytes += sum(map(len, views))
            self._start_writing_back()
        except OSError as error:
            raise self._refused(error) from error
        # While the disk is at work already.
        for view in views:
            self._digest.update(view)
            if (missing := _HEAD_BYTES - len(self._head)) > 0:
                self._head += view[:missing]

    @contextmanager
    def content(self) -> Iterator[memoryview]:
        """The data set so far, read where it lies in the page cache."""
        if not self._n_bytes:
            yield memoryview(b"")
            return
        whole = self._begins + self._n_bytes
        with mmap.mmap(self._fd, whole, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            data_set = view[self._begins :]
            try:
                yield data_set
            finally:
                data_set.release()
                view.release()

    def keep(self, key: InstanceKey) -> StoredInstance:
        """Move it to its place, durably. Raises Unreadable, StoreFull, ReceiveError.

        Durable order: file, name, folder. It stays as it is after Unreadable.
        """
        layout.check(key)
        try:
            self._sync()
            folder = layout.folder(key.study_instance_uid)
            name = self._publish(folder, key.sop_instance_uid)
        except OSError as error:
            raise self._refused(error) from error
        finally:
            self.discard()
        return StoredInstance(f"{folder}/{name}", self._n_bytes, self._content)

    def set_aside(self) -> str:
        """Move it, durably, to where nothing is ever analysed; its name there."""
        try:
            self._sync()
            name = f"{self._content}.dcm"
            folder = self._folders.opened(layout.QUARANTINE, new=True)
            self._rename(name, folder.fd)
            self._folders.sync(folder)
        except OSError as error:
            raise self._refused(error) from error
        finally:
            self.discard()
        return name

    def discard(self) -> None:
        """Leave nothing behind; no error, and nothing to do after ``keep``."""
        if self._is_open:
            self._is_open = False
            if not self._is_named:
                # What went wrong before is the error to report; the sweep comes later.
                with suppress(OSError):
                    os.unlink(self._part, dir_fd=self._incoming.fd)
            os.close(self._fd)

    @cached_property
    def _content(self) -> str:
        """Asked for when all of it has come."""
        return self._digest.hexdigest()

    def _refused(self, error: OSError) -> Exception:
        self.discard()
        return self._refusal(error)

    def _sync(self) -> None:
        """Not tried again when it fails: the pages may be gone, yet look clean."""
        self._write_file_meta([])
        os.fsync(self._fd)

    def _write_file_meta(self, views: list[memoryview]) -> None:
        """Write ``views``, and before the first of them what comes before them."""
        if self._file_meta:
            views = [memoryview(self._file_meta), *views]
            self._file_meta = b""
        self._write_all(views)

    def _write_all(self, views: list[memoryview]) -> None:
        left = sum(map(len, views))
        while left:
            written = os.writev(self._fd, views)
            left -= written
            if left:
                views = _beyond(views, written)

    def _start_writing_back(self) -> None:
        """So that the disk is at work while the rest arrives, and ``keep`` waits less.

        The advice starts the writing of dirty pages; they stay in the page cache.
        """
        ends = self._begins + self._n_bytes
        if ends - self._flushed >= _FLUSH_BYTES:
            begins, self._flushed = self._flushed, ends
            os.posix_fadvise(self._fd, begins, ends - begins, os.POSIX_FADV_DONTNEED)

    def _publish(self, folder: str, sop_instance_uid: str) -> str:
        for attempt in range(_ATTEMPTS):
            # Housekeeping may remove the folder between our two calls.
            last = attempt == _ATTEMPTS - 1
            with suppress(*() if last else (FileNotFoundError,)):
                opened = self._folders.opened(folder, new=attempt > 0)
                name = self._named(opened.fd, sop_instance_uid)
                self._folders.sync(opened)
                return name
        raise AssertionError

    def _named(self, folder_fd: int, sop_instance_uid: str) -> str:
        """Give it its final name, never in place of other content."""
        short, full = layout.names(sop_instance_uid, self._content)
        with self._naming:
            if not _exists(short, folder_fd):
                self._rename(short, folder_fd)
                return short
        if _content(short, folder_fd) == self._content:
            # In place of the same content: a sync of what is there may have failed
            # before, and only a new file and a new entry make the next one count.
            self._rename(short, folder_fd)
            return short
        # Another content with the same first digits, or a damaged file.
        self._rename(full, folder_fd)
        return full

    def _rename(self, name: str, folder_fd: int) -> None:
        os.rename(self._part, name, src_dir_fd=self._incoming.fd, dst_dir_fd=folder_fd)
        self._is_named = True


def _beyond(views: list[memoryview], written: int) -> list[memoryview]:
    """What is left of ``views`` after the first ``written`` bytes."""
    left = []
    for view in views:
        if written < len(view):
            left.append(view[written:])
        written = max(0, written - len(view))
    return left


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


def is_stale(path: Path, instant_seconds: float) -> bool:
    """Whether ``path`` is an unfinished file, last written before the instant."""
    if path.suffix != layout.PART:
        return False
    try:
        return path.stat().st_mtime < instant_seconds
    except FileNotFoundError:
        return False
