"""Moves what lies in the spool to the bucket, oldest first; one process at a time."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import structlog

from dicomnode.store import layout
from dicomnode.store.bucket import Bucket
from dicomnode.store.inspection import Inspection

_LOG = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
_AT_ONCE = 4


class HandOver:
    """Hands over until it is stopped, in a thread of its own.

    Every host hands over its own spool. Of several processes on one spool the first
    works and the others stand by.
    """

    def __init__(
        self, spool: Path, bucket: Bucket, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._spool = spool
        self._files = Inspection(spool)
        self._bucket = bucket
        self._look_seconds = look_seconds
        self._stop = threading.Event()
        self._waits = False
        self._thread = threading.Thread(target=self._run, name="hand-over")

    def start(self) -> None:
        """Begin; what was left in the spool before goes first."""
        self._thread.start()

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
            some = waiting[first : first + _AT_ONCE]
            failures = [one for one in pool.map(self._moved, some) if one]
            if len(failures) == len(some):
                self._say(failures[0], len(waiting))
                return
            if self._stop.is_set():
                return
        if self._waits:
            self._waits = False
            _LOG.info("store.handed_over", n_files=len(waiting))

    def _oldest_first(self) -> Sequence[str]:
        found = []
        for location in self._files.locations():
            try:
                status = os.stat(self._spool / location, follow_symlinks=False)
            except FileNotFoundError:
                continue
            found.append((status.st_mtime_ns, location))
        return [location for _, location in sorted(found)]

    def _moved(self, location: str) -> str:
        """Why a file could not be handed over; empty if it was, or is gone."""
        try:
            with self._files.open(location) as file:
                self._bucket.put(location, file.fileno(), self._content(location))
        except FileNotFoundError:
            return ""
        except OSError as error:
            return str(error)
        self._forget(location)
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
