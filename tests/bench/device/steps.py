"""What every part is given: its options, where to say a figure, and until when."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench import heavy


class Steps:
    """Says figures as they come, and what is left out when the time is over."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given = given
        self.folder = folder
        self.found: dict[str, object] = {}
        self._ends_at = time.monotonic() + 60 * given.minutes

    def part(self, name: str, deed: Callable[[Steps], None], n_left: int) -> None:
        """Run one of the ``n_left`` parts that are left, in its share of the time."""
        whole, began = self._ends_at, time.monotonic()
        self._ends_at = began + (whole - began) / n_left
        deed(self)
        self._ends_at = whole
        self.say(f"{name}: took", f"{time.monotonic() - began:.0f} s")

    def say(self, name: str, figure: object) -> None:
        """A figure, at once."""
        self.found[name] = figure
        print(f"{name:<64} {figure}", flush=True)

    def heavy_bundle(self) -> Path:
        """A bundle with a heavy network, packed once."""
        packed = self.folder / "densenet121-320"
        return packed if packed.exists() else heavy.pack(packed)

    def has_time(self, name: str) -> bool:
        """Whether a step may begin; says so if not."""
        if time.monotonic() < self._ends_at:
            return True
        self.say(name, "left out: its time is over, see --minutes and --only")
        return False


def timed(deed: Callable[[], object], number: int) -> list[float]:
    for _ in range(3):
        deed()
    taken = []
    for _ in range(number):
        start = time.perf_counter()
        deed()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def spread(milliseconds_: Sequence[float]) -> str:
    ordered = sorted(milliseconds_)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return f"p50 {statistics.median(ordered):.1f} ms, p99 {p99:.1f} ms"
