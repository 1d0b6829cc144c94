"""One fsync of a folder for all who wait for it, in success and in failure."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomnode.store.folders import SharedSyncs

KEY = ("folder", 1)


class Disk:
    """Holds the first fsync until it is let go."""

    def __init__(self, errors: list[OSError | None]) -> None:
        self.errors = errors
        self.n_syncs = 0
        self.begun, self.go_on = threading.Event(), threading.Event()

    def fsync(self, _fd: int) -> None:
        self.n_syncs += 1
        self.begun.set()
        self.go_on.wait()
        if error := self.errors.pop(0):
            raise error


def waiting(syncs: SharedSyncs, n: int) -> None:
    """Until ``n`` threads are inside."""
    tick = threading.Event()
    while not syncs._turns or syncs._turns[KEY].requested < n:
        tick.wait(0.001)


@pytest.mark.parametrize("fails", [False, True])
def test_those_who_wait_share_the_next_one(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    second = OSError(5, "Input/output error") if fails else None
    disk, syncs = Disk([None, second]), SharedSyncs()
    monkeypatch.setattr(os, "fsync", disk.fsync)
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(syncs.sync, KEY, 0)
        disk.begun.wait()
        others = [pool.submit(syncs.sync, KEY, 0) for _ in range(8)]
        waiting(syncs, 9)
        disk.go_on.set()
        assert first.exception() is None
        found = [one.exception() for one in others]
    assert disk.n_syncs == 2
    # The kernel reports a failure once: another fsync would say that all is well.
    assert [isinstance(one, OSError) for one in found] == [fails] * 8
    assert not syncs._turns
