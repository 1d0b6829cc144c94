"""Malformed files through a whole node: each gets its status, each study its end.

usage: python -m tests.faults.malformed [--files N] [--seed S]

The malformed files of the test data, and damaged copies of them until there are N, are
sent in batches to a node whose pipeline wants everything. Each is answered with one of
the documented statuses; each study comes to an end within END_SECONDS of its batch; the
worker with its decoders stays below WORKER_MIB; and in the end `dicomnode reconcile`
accounts for every instance. Prints the figures, and ends with 1 when something is not
as it must be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.faults.fuzz import damaged
from tests.integration.receiving import Sample, associated, status
from tests.integration.rig import Node
from tests.integration.test_receive_files import as_sent, contexts, malformed_files

STATUSES = {0x0000, 0xA900, 0xC000}
END_SECONDS, WORKER_MIB = 60.0, 1024.0
BATCH = 40
_AT_ITS_SOURCE = "correct it at the modality or the PACS"


@dataclass
class Figures:
    """Of a run; ``wrong`` is what must not be."""

    n_files: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    longest_seconds: float = 0.0
    worker_mib: float = 0.0
    wrong: list[str] = field(default_factory=list)


def samples(shared_data: Path, n_files: int, seed: int) -> Iterator[Sample]:
    """The files as they are, then damaged copies of them."""
    files = malformed_files(shared_data)
    sound = [as_sent(path, number) for number, path in enumerate(files)]
    others = [one.data_set for one in sound]
    rng = random.Random(seed)
    for number in range(n_files):
        one = sound[number % len(sound)]
        if number < len(sound):
            yield one
        else:
            yield replace(one, data_set=damaged(rng, one.data_set, others))


def run(folder: Path, shared_data: Path, n_files: int, seed: int) -> Figures:
    """Send them all to a node in ``folder``."""
    figures = Figures()
    node = Node(folder, pacs_port=1)
    text = node.config.read_text()
    wants_all = text.replace('match = { Modality = ["CR", "DX"] }', "match = {}")
    assert wants_all != text
    # The results need not go anywhere: there is no PACS.
    node.config.write_text(wants_all.replace('mode = "active"', 'mode = "shadow"'))
    with node.running(), _watched(node, figures):
        made = list(samples(shared_data, n_files, seed))
        for begin in range(0, n_files, BATCH):
            _sent(node, made[begin : begin + BATCH], figures)
            _settled(node, figures)
        # What is wrong with a file is told so; an error of ours would not name that.
        failed = [row["error"] for row in node.rows() if row["job_state"] == "FAILED"]
        strange = [one for one in failed if _AT_ITS_SOURCE not in one]
        figures.wrong += [f"a job failed: {error}" for error in strange]
        reconciled = node.cli("reconcile", "--json")
        if reconciled.returncode != 0:
            figures.wrong.append(f"reconcile: {reconciled.stdout[-500:]}")
    if figures.worker_mib > WORKER_MIB:
        figures.wrong.append(f"the worker has had {figures.worker_mib:.0f} MiB")
    if figures.longest_seconds > END_SECONDS:
        figures.wrong.append(f"an end after {figures.longest_seconds:.0f} s")
    return figures


def _sent(node: Node, some: Sequence[Sample], figures: Figures) -> None:
    left = list(some)
    while left:
        with associated(node.port, contexts(left)) as association:
            while left and association.is_established:
                one = left.pop(0)
                answer = status(association, one)
                figures.n_files += 1
                figures.statuses[f"0x{answer:04x}"] += 1
                if answer not in STATUSES:
                    figures.wrong.append(f"{one.name} was answered 0x{answer:04x}")


def _settled(node: Node, figures: Figures) -> None:
    began = perf_counter()
    node.wait(lambda: not _open(node), "every study to have its end")
    figures.longest_seconds = max(figures.longest_seconds, perf_counter() - began)
    figures.ends = Counter(
        f"{row['job_state'] or row['study_state']} {row['outcome']}".strip()
        for row in node.rows()
    )


def _open(node: Node) -> bool:
    counts = node.views.counts()
    states = ("RECEIVING", "COMPLETE"), ("SCHEDULED", "IN_PROGRESS")
    return any(
        counts[what][state]
        for what, some in zip(("study", "job"), states, strict=True)
        for state in some
    )


@contextmanager
def _watched(node: Node, figures: Figures) -> Iterator[None]:
    """Notes the most memory that the worker and its decoders have had."""
    ends = threading.Event()

    def watch() -> None:
        while not ends.wait(0.5):
            figures.worker_mib = max(figures.worker_mib, _worker_mib(node))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        ends.set()
        watching.join()


def _worker_mib(node: Node) -> float:
    workers = {pid for pid, words in node.processes() if "work" in words}
    children = {pid for pid in _processes() if _parent(pid) in workers}
    return sum(map(_pss_kib, workers | children)) / 1024


def _processes() -> Iterator[int]:
    return (int(one) for one in os.listdir("/proc") if one.isdecimal())


def _parent(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return 0


def _pss_kib(pid: int) -> int:
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next((int(one.split()[1]) for one in lines if one[:4] == "Pss:"), 0)
    return 0


def main() -> int:
    """Send them, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.malformed")
    parser.add_argument("--files", type=int, default=118)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    data = Path(os.environ.get("DICOMNODE_TEST_DATA", "../shared/data"))
    with TemporaryDirectory() as folder:
        figures = run(Path(folder) / "node", data, given.files, given.seed)
    print(json.dumps(figures.__dict__))
    return 1 if figures.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
