"""The store in a bucket: every instance one object, put before it is acknowledged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.errors import ReceiveError, StoreUnreachable
from dicomnode.ports import Buffer, Usage
from dicomnode.store import layout
from dicomnode.store.bucket import Bucket
from dicomnode.store.folders import Folders
from dicomnode.store.incoming import IncomingFile
from dicomnode.store.local import LocalStore
from dicomnode.store.read_objects import ReadObjects

_OUT_OF_RESOURCES = 0xA700


class IncomingObject(IncomingFile):
    """Lies on the local disk while it comes in, so that memory never holds it."""

    def __init__(
        self,
        bucket: Bucket,
        folders: Folders,
        naming: threading.Lock,
        key: InstanceKey,
        refusal: Callable[[OSError], Exception],
    ) -> None:
        self._bucket = bucket
        super().__init__(folders, naming, key, refusal)

    def keep(self, key: InstanceKey) -> StoredInstance:
        """Have it stored as an object. Raises Unreadable, ReceiveError.

        It stays as it is after Unreadable; otherwise nothing is left here.
        """
        layout.check(key)
        location = layout.full_location(key, self._content)
        self._put(location)
        return StoredInstance(location, self._n_bytes, self._content)

    def set_aside(self) -> str:
        """Keep it where nothing is ever analysed; its name there."""
        name = f"{self._content}.dcm"
        self._put(f"{layout.QUARANTINE}/{name}")
        return name

    def _put(self, name: str) -> None:
        try:
            self._bucket.put(name, self._fd, self._content)
        except StoreUnreachable as error:
            # The sender keeps its copy and sends again (PS3.4 B.2.3).
            raise ReceiveError(str(error), _OUT_OF_RESOURCES) from error
        finally:
            self.discard()


class ObjectStore:
    """An InstanceStore and Staging in a bucket; safe for many threads and hosts.

    ``staging``: a local folder for what is coming in, whose file system must stay
    below ``watermark_percent``. Files are read whole before they are opened: up to
    ``cache_bytes`` of them stay open for the next reader.
    """

    def __init__(
        self,
        bucket: Bucket,
        staging: Path,
        watermark_percent: float,
        cache_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bucket = bucket
        incoming = partial(IncomingObject, bucket)
        self._staging = LocalStore(staging, watermark_percent, monotonic, incoming)
        self._read = ReadObjects(bucket, staging, cache_bytes)

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        """Keep a data set durably. Raises StoreFull, Unreadable, ReceiveError."""
        return self._staging.put(key, chunks)

    def stage(self, key: InstanceKey) -> IncomingFile:
        """An empty file for the data set that a command announces."""
        return self._staging.stage(key)

    def open(self, location: str) -> BinaryIO:
        """The file. Raises FileNotFoundError, StoreUnreachable."""
        return self._read.open(_checked(location))

    def delete(self, location: str) -> None:
        """Remove an object; raises FileNotFoundError for what is no location."""
        self._read.forget(_checked(location))
        self._bucket.delete(location)

    def usage(self) -> Usage:
        """Room where instances come in; a bucket has no end."""
        return self._staging.usage()

    def locations(self) -> Iterator[str]:
        """Every location, in the order of the names."""
        for one in self._bucket.objects():
            if layout.is_location(one.name):
                yield one.name

    def sweep(self, older_than: datetime) -> int:
        """Remove what died while it came in; there is never a part of an object."""
        return self._staging.sweep(older_than)


def _checked(location: str) -> str:
    if not layout.is_location(location):
        raise FileNotFoundError(location)
    return location
