"""The bucket looked at object by object, without writing to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from dicomnode.domain.reconciliation import Measure
from dicomnode.store import file_meta, layout
from dicomnode.store.bucket import Bucket
from dicomnode.store.read_objects import ReadObjects

_BLOCK_BYTES = 1 << 20


class ObjectInspection:
    """Implements ``ports.Stock`` on the bucket of an ObjectStore; ``read`` opens them.

    Everything raises StoreUnreachable: an object that cannot be seen is not missing.
    """

    def __init__(self, bucket: Bucket, read: ReadObjects) -> None:
        self._bucket = bucket
        self._read = read

    def measure(self, location: str) -> Measure | None:
        """Size and time of an object; None if there is none or it is none of ours."""
        if not layout.is_location(location):
            return None
        try:
            head, facts = self._bucket.head(location, file_meta.HEAD_BYTES)
        except FileNotFoundError:
            return None
        n_bytes = facts.n_bytes
        if len(head) == file_meta.HEAD_BYTES:
            n_bytes -= file_meta.data_set_offset(head)
        return Measure(n_bytes, facts.written_at)

    def digest(self, location: str) -> str:
        """SHA-256 of its data set as hex; raises FileNotFoundError."""
        if not layout.is_location(location):
            raise FileNotFoundError(location)
        return self._bucket.get(location, _digest)

    def locations(self) -> Iterator[str]:
        """Every location."""
        for one in self._bucket.objects():
            if layout.is_location(one.name):
                yield one.name

    def open(self, location: str) -> BinaryIO:
        """The complete file; raises FileNotFoundError."""
        if not layout.is_location(location):
            raise FileNotFoundError(location)
        return self._read.open(location)

    def delete(self, location: str) -> None:
        """Remove an object for good; no error if it is gone already."""
        if layout.is_location(location):
            self._bucket.delete(location)


def _digest(body: BinaryIO) -> str:
    head = body.read(file_meta.HEAD_BYTES)
    left = file_meta.data_set_offset(head) - len(head)
    body.read(min(max(0, left), _BLOCK_BYTES))
    digest = hashlib.sha256()
    while block := body.read(_BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()
