"""`python -m tests.bench ingest`: receivers in turns, medians of their runs.

Each round starts every receiver anew in an empty folder of the same disk and gives it
every workload, so that the noise of the machine meets all of them alike.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.ingest import receivers, workloads
from tests.bench.ingest.isolation import isolate
from tests.bench.ingest.native import Tools, plain, tools
from tests.bench.ingest.processes import Watch
from tests.bench.ingest.receivers import Receiver
from tests.bench.ingest.workloads import Load, Workload, send

FEWEST_IMAGES = 8
_WARM_UP_IMAGES = 2


@dataclass(frozen=True, slots=True)
class Run:
    """One workload on one receiver, once."""

    workload: str
    receiver: str
    durability: str
    images: int
    images_per_second: float
    cpu_ms_per_image: float
    peak_mb: float
    failures: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be run."""

    receivers: Sequence[Receiver]
    workloads: Sequence[Workload]
    repeat: int
    sync: bool
    divisor: int
    folder: Path | None
    tools: Tools


class Bench:
    """Runs a plan; every image of it has a number of its own."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self._numbers = itertools.count(1_000_000, 1_000_000)
        self._loads = {
            kind: workloads.load(kind, folder)
            for kind in {one.kind for one in plan.workloads}
        }

    def runs(self) -> Iterable[Run]:
        """Every run, as it ends."""
        for round_ in range(self._plan.repeat):
            # The other way round every second time: nobody always follows the same.
            order = self._plan.receivers[:: -1 if round_ % 2 else 1]
            for one in order:
                yield from self._on(one)

    def _on(self, receiver: Receiver) -> Iterable[Run]:
        for work in self._plan.workloads:
            folder = self._folder / "receiver"
            with receiver.running(folder, self._plan.tools, self._plan.sync) as at:
                self._send(work, at.port, _WARM_UP_IMAGES)
                with Watch(at.pid) as watch:
                    n_images = self._n_images(work, receiver)
                    said = self._send(work, at.port, n_images)
            shutil.rmtree(folder)
            os.sync()
            yield Run(
                workload=work.name,
                receiver=receiver.name,
                durability=receiver.durability(self._plan.sync),
                images=int(said["images"]),
                images_per_second=said["images"] / said["seconds"],
                cpu_ms_per_image=1000 * watch.cpu / said["images"],
                peak_mb=watch.peak_bytes / 1e6,
                failures=int(said["failures"]),
            )

    def _send(self, work: Workload, port: int, n_images: int):
        start = next(self._numbers)
        given: Load = self._loads[work.kind]
        numbers, folder = range(start, start + n_images), self._folder / "files"
        return send(work, given, self._plan.tools, port, numbers, folder)

    def _n_images(self, work: Workload, receiver: Receiver) -> int:
        wanted = int(work.n_images * receiver.share / self._plan.divisor)
        return max(wanted, FEWEST_IMAGES, work.n_senders)

    def describe(self, work: Workload) -> str:
        """One line about a workload."""
        return work.describe(self._loads[work.kind].template)


def table(title: str, runs: Sequence[Run]) -> str:
    """Medians of one workload, the fastest receiver first."""
    by_receiver = {one.receiver: [] for one in runs}
    for one in runs:
        by_receiver[one.receiver].append(one)
    ours = median(by_receiver.get("dicomnode", ()), "images_per_second")
    ranked = sorted(
        by_receiver.items(), key=lambda pair: -median(pair[1], "images_per_second")
    )
    head = ("receiver", "images/s", "we/it", "CPU ms", "MB", "durable before 0x0000")
    rows = [head, *(_row(name, of, ours) for name, of in ranked)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if column in (0, 5) else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([f"== {title}", *lines, ""])


def _row(name: str, runs: Sequence[Run], ours: float) -> tuple[str, ...]:
    rate = median(runs, "images_per_second")
    failures = sum(one.failures for one in runs)
    lost = f", {failures} FAILURES" if failures else ""
    return (
        name,
        f"{rate:.0f}",
        f"{ours / rate:.2f}" if ours else "-",
        f"{median(runs, 'cpu_ms_per_image'):.2f}",
        f"{max(one.peak_mb for one in runs):.0f}",
        runs[0].durability + lost,
    )


def median(runs: Sequence[Run], field: str) -> float:
    """Of one figure over the runs; 0 without any."""
    return statistics.median(getattr(one, field) for one in runs) if runs else 0.0


def record(plan: Plan, runs: Sequence[Run]) -> dict[str, object]:
    """Everything that was measured, for a file."""
    return {
        "bench": "ingest",
        "machine": {"processors": os.cpu_count(), "system": platform.platform()},
        "sender": plan.tools.made_of,
        "sync": plan.sync,
        "runs": [asdict(one) for one in runs],
    }


def main(words: Sequence[str]) -> int:
    """Run what the command line asks for; 1 when an image was refused."""
    given = _parser().parse_args(words)
    if not isolate():
        print("no network namespace here: left out what listens on every address")
    isolated_only = () if _is_isolated() else ("orthanc", "storescp")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=given.folder) as name:
        folder = Path(name)
        plan = _plan(given, folder, isolated_only)
        bench, runs = Bench(plan, folder), []
        for one in bench.runs():
            runs.append(one)
            line = f"{one.workload} {one.receiver} {one.images_per_second:.0f} images/s"
            print(line, file=sys.stderr, flush=True)
        for work in plan.workloads:
            found = [one for one in runs if one.workload == work.name]
            print(table(f"{work.name}: {bench.describe(work)}", found))
    if given.out:
        given.out.write_text(json.dumps(record(plan, runs), indent=1) + "\n")
    return 1 if any(one.failures for one in runs) else 0


def _is_isolated() -> bool:
    return len(Path("/proc/net/dev").read_text().splitlines()) == 3


def _plan(given: argparse.Namespace, folder: Path, left_out: Sequence[str]) -> Plan:
    made = plain() if given.python else tools(folder)
    if given.sync == "off" and not made.nosync:
        print("no C compiler here: our receiver cannot be kept from syncing, left out")
        left_out = (*left_out, "dicomnode")
    chosen = [receivers.BY_NAME[name] for name in _names(given.receivers)]
    present = [one for one in chosen if one.is_there() and one.kind not in left_out]
    works = [workloads.BY_NAME[name] for name in _names(given.workloads)]
    return Plan(
        receivers=present,
        workloads=[one for one in works if one.is_there()],
        repeat=given.repeat,
        sync=given.sync == "on",
        divisor=given.divide,
        folder=given.folder,
        tools=made,
    )


def _names(text: str) -> list[str]:
    return [name for name in text.split(";") if name]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench ingest", description=__doc__
    )
    every = ";".join(receivers.BY_NAME)
    parser.add_argument("--receivers", default=every, help=f"default {every!r}")
    every = ";".join(workloads.BY_NAME)
    parser.add_argument("--workloads", default=every, help=f"default {every!r}")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each")
    parser.add_argument("--sync", choices=("on", "off"), default="on")
    parser.add_argument("--divide", type=int, default=1, help="fewer images by this")
    parser.add_argument("--folder", type=Path, help="on the disk to measure")
    parser.add_argument("--out", type=Path, help="JSON file for every figure")
    parser.add_argument("--python", action="store_true", help="no compiled sender")
    return parser
