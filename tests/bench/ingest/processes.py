"""What a receiver's processes cost: processor time and memory, read from /proc."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_SAMPLE_SECONDS = 0.05
_UTIME, _STIME, _CUTIME, _CSTIME = 11, 12, 13, 14
"""Fields of /proc/<pid>/stat after the name (proc(5))."""


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found, at = [pid], 0
    while at < len(found):
        found += _children(found[at])
        at += 1
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, task.read_text().split())
        except OSError:
            continue
    return children


def cpu_seconds(pid: int) -> float:
    """User and system time of the tree, with that of children that have ended."""
    ticks = 0
    for one in tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(fields[at]) for at in (_UTIME, _STIME, _CUTIME, _CSTIME))
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int) -> int:
    """Resident memory of the tree that is its own, shared pages in parts (PSS)."""
    return sum(memory_bytes_of(one) for one in tree(pid))


def memory_bytes_of(pid: int) -> int:
    """Of one process."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


class Watch:
    """Samples the memory of a tree while a run goes on; ``peak_bytes``, ``cpu``."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.peak_bytes = 0
        self.cpu = 0.0

    def __enter__(self) -> Self:
        self._before = cpu_seconds(self._pid)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self.cpu = cpu_seconds(self._pid) - self._before

    def _sample(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, memory_bytes(self._pid))
            if self._over.wait(_SAMPLE_SECONDS):
                return
