"""`python -m tests.bench soak`: a hospital's traffic at ten times its peak, for long.

120 radiographs, 50 ultrasound, 30 CT and 25 MR studies an hour, times ten, generated,
each study on an association of its own, against the real receiver and keeper. What is
looked for is growth: of memory, descriptors, threads, and of files that nobody needs.
An hour at that speed writes some 45 GB, removed in the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from dicomnode.demo.program import Program, free_port
from dicomnode.worklist import open_views
from tests.bench.ingest import ours, processes, workloads
from tests.bench.ingest.native import Tools, plain, tools
from tests.bench.ingest.workloads import Load, Workload

SAMPLE_SECONDS = 1.0
SENDERS = 8
_HOUR = 3600
_MEGABYTE = 1e6

OTHER_TABLES = """
[study]
quiet_seconds = 5

[keep]
interval_seconds = 0.5
"""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Studies of one kind: how many an hour at peak, of how many images."""

    kind: str
    per_hour: int
    n_images: int


HOSPITAL = (
    Traffic("DX", 120, 1),
    Traffic("US", 50, 20),
    Traffic("CT", 30, 100),
    Traffic("MR", 25, 150),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the processes hold at one time."""

    at: float
    memory_bytes: int
    n_descriptors: int
    n_threads: int
    n_unfinished: int


class Node:
    """Receiver and keeper in a folder."""

    def __init__(self, folder: Path, n_processes: int) -> None:
        self.folder = folder
        self.port = free_port()
        self._config = ours.configured(folder, self.port, n_processes, OTHER_TABLES)
        self._programs: dict[str, Program] = {}

    @contextmanager
    def running(self) -> Iterator[Node]:
        with ExitStack() as programs:
            for role in ("receive", "keep"):
                argv = ours.command(role, self._config)
                log = self.folder / f"{role}.log"
                # The receiver makes the database; then the keeper finds one.
                self._programs[role] = programs.enter_context(
                    ours.listening(role, argv, log, self.port)
                )
            yield self

    def sample(self) -> Sample:
        """Both roles together."""
        pids = [
            pid
            for program in self._programs.values()
            for pid in processes.tree(ours.pid_of(program))
        ]
        return Sample(
            at=time.monotonic(),
            memory_bytes=sum(map(processes.memory_bytes_of, pids)),
            n_descriptors=sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
            n_threads=sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids),
            n_unfinished=sum(1 for _ in (self.folder / "var").rglob("*.part")),
        )

    def n_recorded(self) -> int:
        """Instances in the worklist."""
        views = open_views(f"sqlite:///{self.folder / 'var' / 'worklist.db'}")
        try:
            return sum(row["n_instances"] for row in views.worklist())
        finally:
            views.close()

    def n_files(self) -> int:
        """Instances on the disk."""
        return sum(1 for _ in (self.folder / "var" / "instances").rglob("*.dcm"))


class Hospital:
    """Sends studies as they fall due; ``speed`` times as many as at a peak hour."""

    def __init__(self, port: int, folder: Path, made: Tools, speed: float) -> None:
        self._port, self._folder, self._tools, self._speed = port, folder, made, speed
        kinds = [one.kind for one in HOSPITAL]
        self._loads: dict[str, Load] = {
            kind: workloads.load(kind, folder) for kind in kinds
        }
        self._numbers = count(1_000_000, 1_000)
        self._chance = random.Random(0)
        self.n_sent = self.n_refused = self.n_studies = 0
        self._lock = threading.Lock()

    def send_for(self, seconds: float) -> None:
        """Until the time is over and the last study has arrived."""
        ends_at, stop = time.monotonic() + seconds, threading.Event()
        with ThreadPoolExecutor(SENDERS) as senders:
            while (left := ends_at - time.monotonic()) > 0:
                senders.submit(self._study)
                per_second = sum(one.per_hour for one in HOSPITAL) / _HOUR * self._speed
                stop.wait(min(left, self._chance.expovariate(per_second)))

    def _study(self) -> None:
        weights = [one.per_hour for one in HOSPITAL]
        [traffic] = self._chance.choices(HOSPITAL, weights)
        work = Workload("soak", traffic.kind, traffic.n_images)
        start = next(self._numbers)
        numbers = range(start, start + traffic.n_images)
        given = self._loads[traffic.kind]
        said = workloads.send(
            work, given, self._tools, self._port, numbers, self._folder
        )
        with self._lock:
            self.n_studies += 1
            self.n_sent += int(said["images"])
            self.n_refused += int(said["failures"])


def sampled(node: Node, over: threading.Event) -> list[Sample]:
    """Samples until ``over``."""
    found = [node.sample()]
    while not over.wait(SAMPLE_SECONDS):
        found.append(node.sample())
    return found


def slope_per_hour(samples: Sequence[Sample], field: str) -> float:
    """Of the second half, when caches are warm; by least squares."""
    half = samples[len(samples) // 2 :]
    if len(half) < 2:
        return 0.0
    values = [float(getattr(one, field)) for one in half]
    line = statistics.linear_regression([one.at for one in half], values)
    return line.slope * _HOUR


def soak(folder: Path, given: argparse.Namespace, made: Tools) -> dict[str, object]:
    """Run it; the figures."""
    node = Node(folder, given.processes)
    with node.running():
        hospital = Hospital(node.port, folder, made, given.speed)
        over = threading.Event()
        with ThreadPoolExecutor(1) as watching:
            watched = watching.submit(sampled, node, over)
            try:
                hospital.send_for(given.minutes * 60)
            finally:
                over.set()
        samples = watched.result()
        found = _figures(hospital, node, samples)
    return found | {"samples": [asdict(one) for one in samples]}


def _figures(
    hospital: Hospital, node: Node, samples: Sequence[Sample]
) -> dict[str, object]:
    memory = [one.memory_bytes / _MEGABYTE for one in samples]
    return {
        "studies": hospital.n_studies,
        "images sent": hospital.n_sent,
        "images refused": hospital.n_refused,
        "images recorded": node.n_recorded(),
        "files": node.n_files(),
        "unfinished files": samples[-1].n_unfinished,
        "memory MB, first and last": [round(memory[0], 1), round(memory[-1], 1)],
        "memory MB an hour": round(slope_per_hour(samples, "memory_bytes") / 1e6, 2),
        "descriptors, first and last": [
            samples[0].n_descriptors,
            samples[-1].n_descriptors,
        ],
        "descriptors an hour": round(slope_per_hour(samples, "n_descriptors"), 2),
        "threads, first and last": [samples[0].n_threads, samples[-1].n_threads],
        "threads an hour": round(slope_per_hour(samples, "n_threads"), 2),
    }


def main(words: Sequence[str]) -> int:
    """Soak as the command line asks; 1 when an image was refused or lost."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench soak", description=__doc__
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--speed", type=float, default=10, help="times a peak hour")
    parser.add_argument("--processes", type=int, default=1, help="of the receiver")
    parser.add_argument("--folder", type=Path, help="on the disk to use")
    parser.add_argument("--out", type=Path, help="JSON file for every sample")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="soak-", dir=given.folder) as name:
        folder = Path(name)
        try:
            made = tools(folder)
        except subprocess.CalledProcessError:
            made = plain()
        found = soak(folder, given, made)
    if given.out:
        given.out.write_text(json.dumps(found) + "\n")
    del found["samples"]
    for key, value in found.items():
        print(f"{key:<28}  {value}")
    whole = found["images sent"] == found["images recorded"] == found["files"]
    return 0 if whole and not found["images refused"] else 1
