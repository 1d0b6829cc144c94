"""Moves what lies in the spool to the bucket, oldest first; one process at a time."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import structlog

from dicomnode.domain.instance import Whereabouts
from dicomnode.errors import WorklistError
from dicomnode.ports import Spools
from dicomnode.store import layout
from dicomnode.store.bucket import Bucket
from dicomnode.store.inspection import Inspection

_LOG = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
ORPHAN_SECONDS = 3600.0
"""A file without a row, or with one that was forgotten, belongs to no association that
is still alive once it is so old. Before that its row may be on its way.
"""

_AT_ONCE = 4


class _Spooled(NamedTuple):
    """A file of the spool; the oldest sorts first."""

    written_at: float
    location: str


class HandOver:
    """Hands over until it is stopped, in a thread of its own.

    Every host hands over its own spool. Of several processes on one spool the first
    works and the others stand by.
    """

    def __init__(
        self,
        spool: Path,
        bucket: Bucket,
        look_seconds: float = LOOK_SECONDS,
        rows: Spools | None = None,
    ) -> None:
        self._spool = spool
        self._files = Inspection(spool)
        self._bucket = bucket
        self._look_seconds = look_seconds
        self._rows = rows
        self._stop = threading.Event()
        self._waits = False
        self._thread = threading.Thread(target=self._run, name="hand-over")

    def start(self) -> None:
        """Begin; what was left in the spool before goes first."""
        # The store, which makes its folder, may be opened later.
        self._spool.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """False: it has ended by an error, and nothing is handed over any more."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End what is under way and no more; the rest stays in the spool."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(_AT_ONCE, "hand-over") as pool:
            while not self._stop.wait(self._look_seconds):
                with _first(self._spool) as is_ours:
                    if is_ours:
                        self.once(pool)

    def once(self, pool: ThreadPoolExecutor) -> None:
        """Hand over all that lies there now, or until nothing goes any more."""
        waiting = self._oldest_first()
        for first in range(0, len(waiting), _AT_ONCE):
            try:
                failures = self._moved_together(pool, waiting[first : first + _AT_ONCE])
            except WorklistError as error:
                failures = [str(error)]
            if failures and all(failures):
                self._say(failures[0], len(waiting))
                return
            if self._stop.is_set():
                return
        if self._waits:
            self._waits = False
            _LOG.info("store.handed_over", n_files=len(waiting))

    def _moved_together(
        self, pool: ThreadPoolExecutor, some: Sequence[_Spooled]
    ) -> Sequence[str]:
        """Why each could not be handed over; empty if it was, or is gone.

        In this order: it is an object, then the worklist knows that every host can
        read it, then it leaves the spool. A crash between them does it once more.
        """
        locations = self._wanted(some)
        failures = list(pool.map(self._put, locations))
        pairs = zip(locations, failures, strict=True)
        objects = [location for location, failure in pairs if not failure]
        if objects and self._rows:
            self._rows.handed_over(objects)
        for location in objects:
            self._forget(location)
        return failures

    def _wanted(self, some: Sequence[_Spooled]) -> Sequence[str]:
        """Without those whose row is still to come, or that were purged elsewhere."""
        if self._rows is None:
            return [one.location for one in some]
        known = self._rows.whereabouts([one.location for one in some])
        limit = time.time() - ORPHAN_SECONDS
        wanted = []
        for one in some:
            where = known.get(one.location)
            if where is Whereabouts.FORGOTTEN and one.written_at < limit:
                (self._spool / one.location).unlink(missing_ok=True)
            elif where is Whereabouts.KEPT or (not where and one.written_at < limit):
                wanted.append(one.location)
        return wanted

    def _oldest_first(self) -> Sequence[_Spooled]:
        found = []
        for location in self._files.locations():
            try:
                status = os.stat(self._spool / location, follow_symlinks=False)
            except FileNotFoundError:
                continue
            found.append(_Spooled(status.st_mtime, location))
        return sorted(found)

    def _put(self, location: str) -> str:
        """Why it is no object; empty if it is one, or if its file is gone."""
        try:
            with self._files.open(location) as file:
                self._bucket.put(location, file.fileno(), self._content(location))
        except FileNotFoundError:
            return ""
        except OSError as error:
            return str(error)
        return ""

    def _content(self, location: str) -> str:
        digest = self._files.digest(location)
        if not layout.has_content(location, digest):
            raise OSError(
                f"{location} in the spool is damaged; `dicomnode reconcile --verify` "
                "finds it, send it again"
            )
        return digest

    def _forget(self, location: str) -> None:
        path = self._spool / location
        try:
            path.unlink()
        except FileNotFoundError:
            # Deleted meanwhile, by purge or retention: then it is no object either.
            self._bucket.delete(location)
            return
        try:
            path.parent.rmdir()
        except OSError:
            return

    def _say(self, why: str, n_waiting: int) -> None:
        # Once for an outage; status and metrics say that it lasts.
        level = _LOG.debug if self._waits else _LOG.warning
        level("store.hand_over_waits", n_files=n_waiting, error=why)
        self._waits = True


@contextmanager
def _first(path: Path) -> Iterator[bool]:
    """Whether we hold the lock on this folder; it goes with the process."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
