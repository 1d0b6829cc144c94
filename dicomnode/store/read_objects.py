"""Objects as files without a name: nothing of a patient is left when a process ends."""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from dicomnode.errors import StoreUnreachable
from dicomnode.store import file_meta, layout
from dicomnode.store.bucket import Bucket

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Held:
    file: BinaryIO
    n_bytes: int


class ReadObjects:
    """Reads objects into files in ``folder``; safe for many threads.

    The files last read stay open, ``cache_bytes`` of them at most: a worker reads the
    header of an image again after its pixels.
    """

    def __init__(self, bucket: Bucket, folder: Path, cache_bytes: int) -> None:
        self._bucket = bucket
        self._folder = folder
        self._cache_bytes = cache_bytes
        self._held: OrderedDict[str, _Held] = OrderedDict()
        weakref.finalize(self, _close, self._held)
        self._lock = threading.Lock()

    def open(self, location: str) -> BinaryIO:
        """A file of its own position. Raises FileNotFoundError, StoreUnreachable.

        What differs from the content that ``location`` names is never given out.
        """
        with self._lock:
            held = self._held.get(location)
            if held is not None:
                self._held.move_to_end(location)
                return _opened_again(held.file)
        file = self._bucket.get(location, lambda body: self._fetched(location, body))
        opened = _opened_again(file)
        self._hold(location, file)
        return opened

    def forget(self, location: str) -> None:
        """Let go of a file that is to be deleted."""
        with self._lock:
            held = self._held.pop(location, None)
        if held is not None:
            held.file.close()

    def _fetched(self, location: str, body: BinaryIO) -> BinaryIO:
        with ExitStack() as unless_whole:
            file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  # held open
            unless_whole.callback(file.close)
            _copy(location, body, file)
            unless_whole.pop_all()
            return file

    def _hold(self, location: str, file: BinaryIO) -> None:
        n_bytes = os.fstat(file.fileno()).st_size
        with self._lock:
            before = self._held.pop(location, None)
            self._held[location] = _Held(file, n_bytes)
            let_go = [before] if before else []
            while sum(one.n_bytes for one in self._held.values()) > self._cache_bytes:
                let_go.append(self._held.popitem(last=False)[1])
        for one in let_go:
            one.file.close()


def _close(held: OrderedDict[str, _Held]) -> None:
    for one in held.values():
        one.file.close()


def _copy(location: str, body: BinaryIO, file: BinaryIO) -> None:
    head = body.read(file_meta.HEAD_BYTES)
    left = file_meta.data_set_offset(head) - len(head)
    file.write(head + body.read(min(max(0, left), _BLOCK_BYTES)))
    digest = sha256()
    while block := body.read(_BLOCK_BYTES):
        digest.update(block)
        file.write(block)
    file.flush()
    if not layout.has_content(location, digest.hexdigest()):
        raise _damaged(location)


def _opened_again(file: BinaryIO) -> BinaryIO:
    return open(f"/dev/fd/{file.fileno()}", "rb")


def _damaged(location: str) -> StoreUnreachable:
    return StoreUnreachable(
        f"the object {location} is not what was stored; find it and others like it "
        "with `dicomnode reconcile --verify`, and send it again"
    )
