"""The header of a multi-frame object, read once for all parts that are asked for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, BinaryIO

import pydicom

if TYPE_CHECKING:
    from pydicom import FileDataset

_MOST_BYTES = 4 << 20


class Heads:
    """Keeps the header of the multi-frame object that was read last.

    The frames of a series are asked for a few at a time, and the functional groups of
    hundreds take longer to read than several frames. An object is recognised by the
    hash of all bytes before its pixels, so no other is ever taken for it.
    """

    def __init__(self) -> None:
        self._n_bytes = 0
        self._digest = b""
        self._head: FileDataset | None = None

    def read(self, file: BinaryIO) -> FileDataset:
        """All before the pixels; what pydicom raises for what is no DICOM file."""
        if self._head is not None and self._digest == _digest(file, self._n_bytes):
            return self._head
        file.seek(0)
        head = pydicom.dcmread(file, stop_before_pixels=True)
        n_bytes = file.tell()
        if "PerFrameFunctionalGroupsSequence" in head and n_bytes <= _MOST_BYTES:
            self._head, self._n_bytes = head, n_bytes
            self._digest = _digest(file, n_bytes)
        return head


def _digest(file: BinaryIO, n_bytes: int) -> bytes:
    file.seek(0)
    return hashlib.sha256(file.read(n_bytes)).digest()
