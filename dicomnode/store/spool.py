"""The store in a bucket behind a local spool: acknowledged here, handed over later."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import Any, BinaryIO

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.domain.reconciliation import Measure
from dicomnode.ports import Buffer, Stock, Usage
from dicomnode.store import layout
from dicomnode.store.incoming import IncomingFile
from dicomnode.store.local import LocalStore
from dicomnode.store.objects import ObjectStore


class SpooledFile(IncomingFile):
    """Named like the object that it will be; until then only ``host`` can read it."""

    def __init__(self, host: str, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._host = host

    def keep(self, key: InstanceKey) -> StoredInstance:
        """As IncomingFile does; it says on which host it lies."""
        return replace(super().keep(key), spooled_on=self._host)

    def _named(self, folder_fd: int, sop_instance_uid: str) -> str:
        _, full = layout.names(sop_instance_uid, self._content)
        # Perhaps in place of its equal: its entry is new, and so is the sync of it.
        self._rename(full, folder_fd)
        return full


class SpoolStore:
    """An InstanceStore and Staging: what is put lies in ``spool``, durably.

    A HandOver moves it to ``objects``, under the same location; whoever opens one
    finds it at either place. Safe for many threads and processes.
    """

    def __init__(
        self,
        objects: ObjectStore,
        spool: Path,
        watermark_percent: float,
        monotonic: Callable[[], float] = time.monotonic,
        host: str = "",
    ) -> None:
        self._objects = objects
        incoming = partial(SpooledFile, host or gethostname())
        self._spool = LocalStore(spool, watermark_percent, monotonic, incoming)

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        """Keep a data set durably. Raises StoreFull, Unreadable, ReceiveError."""
        return self._spool.put(key, chunks)

    def stage(self, key: InstanceKey) -> IncomingFile:
        """An empty file for the data set that a command announces."""
        return self._spool.stage(key)

    def open(self, location: str) -> BinaryIO:
        """The file. Raises FileNotFoundError, StoreUnreachable."""
        # In this order: it is an object before it leaves the spool.
        with suppress(FileNotFoundError):
            return self._spool.open(location)
        return self._objects.open(location)

    def delete(self, location: str) -> None:
        """Remove a file from both places.

        From the spool first: a hand-over that is under way then finds its file gone,
        and removes the object again.
        """
        self._spool.delete(location)
        self._objects.delete(location)

    def usage(self) -> Usage:
        """Room in the spool."""
        return self._spool.usage()

    def locations(self) -> Iterator[str]:
        """Every location, each once."""
        return _each_once(self._spool.locations(), self._objects.locations())

    def sweep(self, older_than: datetime) -> int:
        """Remove what died while it came in."""
        return self._spool.sweep(older_than)


class SpoolInspection:
    """Implements ``ports.Stock`` on the spool and on the bucket behind it."""

    def __init__(self, spool: Stock, objects: Stock) -> None:
        self._spool = spool
        self._objects = objects

    def measure(self, location: str) -> Measure | None:
        """Size and time of a file; None if it is nowhere or is none of ours."""
        return self._spool.measure(location) or self._objects.measure(location)

    def digest(self, location: str) -> str:
        """SHA-256 of its data set as hex; raises FileNotFoundError."""
        with suppress(FileNotFoundError):
            return self._spool.digest(location)
        return self._objects.digest(location)

    def locations(self) -> Iterator[str]:
        """Every location, each once."""
        return _each_once(self._spool.locations(), self._objects.locations())

    def open(self, location: str) -> BinaryIO:
        """The complete file; raises FileNotFoundError."""
        with suppress(FileNotFoundError):
            return self._spool.open(location)
        return self._objects.open(location)

    def delete(self, location: str) -> None:
        """Remove a file from both places, as SpoolStore does."""
        self._spool.delete(location)
        self._objects.delete(location)


def _each_once(spooled: Iterable[str], objects: Iterable[str]) -> Iterator[str]:
    """The spool is small or the node in trouble; the bucket is never held in memory."""
    here = set(spooled)
    yield from here
    for location in objects:
        if location not in here:
            yield location
