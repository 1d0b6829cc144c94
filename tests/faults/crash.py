"""Kills roles of a running node: `python -m tests.faults.crash --cycles N --seconds S`.

Real roles (receive, keep, work, deliver) as processes, DCMTK sends, a real Orthanc
receives. One cycle kills one role with SIGKILL, at a random time or at a named system
call, and starts it again. At the end of each round every role gets a SIGTERM at full
load and must end well; then the node comes to rest and must balance: every acknowledged
instance is there byte for byte, every study was analysed exactly once, each of its
results is in the PACS exactly once, no file is left over.

Ends after `--cycles` or, when given, `--seconds`, whichever is later.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from pydicom import dcmread

from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.program import free_port
from tests.faults.chain import READY, Chain, radiograph, until
from tests.faults.modality import Sample, send
from tests.faults.roles import fork_server
from tests.faults.tracing import attached

SENDERS = 2
CYCLES_PER_ROUND = 20
WEIGHTS = {"receive": 5, "keep": 3, "work": 2, "deliver": 3}
CALLS = ("fsync", "fdatasync", "renameat", "pwrite64", "sendto", "recvfrom", "openat")
NAMED_POINTS = 0.5
"""Of the kills; the others are at any time."""

POINT_SECONDS = 1.0
"""A role that makes no such call meanwhile is killed where it is."""


class Modalities:
    """Senders that each keep an instance until it is answered Success."""

    def __init__(self, port: int, folder: Path, rng: random.Random) -> None:
        self._port, self._folder = port, folder
        self._seeds = [rng.randrange(1 << 30) for _ in range(SENDERS)]
        self._stop, self._abandoned = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(SENDERS)
        self.acknowledged: list[Sample] = []

    @contextmanager
    def sending(self) -> Iterator[None]:
        """They send for the body; each ends once its last instance is taken.

        After an error they leave what nobody takes, or the harness would never end.
        """
        senders = [
            self._pool.submit(self._send, random.Random(seed)) for seed in self._seeds
        ]
        try:
            yield
        except BaseException:
            self._abandoned.set()
            raise
        finally:
            self._stop.set()
            self._pool.shutdown()
        for sender in senders:
            sender.result()

    def _send(self, rng: random.Random) -> None:
        while not self._stop.is_set():
            sample = radiograph(self._folder, rng)
            while not send(self._port, [sample], "-to", "5", "-td", "5"):
                if self._abandoned.wait(0.05):
                    return
            self.acknowledged.append(sample)
            sample.path.unlink()
            self._stop.wait(rng.uniform(0, 0.5))


class Crash:
    """The figures of a run, and how it kills."""

    def __init__(self, chain: Chain, pacs: Orthanc, rng: random.Random) -> None:
        self._chain, self._pacs, self._rng = chain, pacs, rng
        self._trace = chain.folder / "killed"
        self._recovery: list[float] = []
        self.killed: Counter[str] = Counter()
        self.at_a_point = 0
        self.stopped_cleanly = 0
        self.acknowledged = 0
        self.wrong: list[str] = []

    @property
    def cycles(self) -> int:
        return sum(self.killed.values())

    def round(self, folder: Path, cycles: int) -> None:
        """Some cycles under load, then rest and balance."""
        for name in self._chain.roles:
            self._chain.revive(name)
        modalities = Modalities(self._chain.port, folder, self._rng)
        with modalities.sending():
            for _ in range(cycles):
                self._cycle()
            self._stop_all()
        self._balance(modalities.acknowledged)

    def _cycle(self) -> None:
        name = self._rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        sleep(self._rng.uniform(0, 0.4))
        if self._rng.random() < NAMED_POINTS:
            self._kill_at_a_point(name)
        self._chain.roles[name].kill()
        self.killed[name] += 1
        seconds = self._chain.revive(name)
        if name == "receive":
            self._recovery.append(seconds)

    def _stop_all(self) -> None:
        """SIGTERM to each role while it has work, and a new start."""
        for name, role in self._chain.roles.items():
            status = role.terminate()
            self.stopped_cleanly += status == 0
            if status != 0:
                self.wrong.append(f"not stopped: {name} ended with {status}")
            self._chain.revive(name)

    def _kill_at_a_point(self, name: str) -> None:
        role, call = self._chain.roles[name], self._rng.choice(CALLS)
        inject = f"inject={call}:signal=KILL:when={self._rng.randrange(1, 12)}"
        options = ("-e", f"trace={call}", "-e", inject, "-o", str(self._trace))
        with attached(role.pid, *options):
            ends_at = monotonic() + POINT_SECONDS
            while role.is_running and monotonic() < ends_at:
                sleep(0.01)
        self.at_a_point += not role.is_running

    def _balance(self, acknowledged: list[Sample]) -> None:
        studies = {one.study_instance_uid for one in acknowledged}
        until(lambda: self._chain.settled(studies), f"{len(studies)} studies")
        self.acknowledged += len(acknowledged)
        self.wrong += self._chain.lost(acknowledged)
        self.wrong += self._chain.not_once(studies)
        self.wrong += self._chain.left_over()
        for study in studies:
            self.wrong += self._not_in_pacs(study)

    def _not_in_pacs(self, study: str) -> list[str]:
        sent = self._chain.deliveries(self._chain.rows({study}))
        came = [dcmread(io.BytesIO(file)) for file in self._pacs.files(study)]
        told = sorted(str(one["sop_instance_uid"]) for one in sent)
        kept = sorted(str(ds.SOPInstanceUID) for ds in came)
        return [] if told == kept else [f"doubled or lost in the PACS: {study}"]

    def figures(self) -> dict[str, object]:
        """What is printed."""
        starts = Counter(one.partition(":")[0] for one in self.wrong)
        return {
            "cycles": self.cycles,
            "killed": dict(self.killed),
            "at_a_system_call": self.at_a_point,
            "stopped_cleanly": self.stopped_cleanly,
            "acknowledged": self.acknowledged,
            "lost": starts["lost"],
            "doubled": starts["doubled"] + starts["doubled or lost in the PACS"],
            "left_over": starts["left over"],
            "put_right_by_reconcile": self._chain.reconciled,
            "recovery_seconds_median": round(median(self._recovery or [0]), 3),
            "recovery_seconds_most": round(max(self._recovery or [0]), 3),
            "wrong": self.wrong,
        }


def measure(given: argparse.Namespace) -> dict[str, object]:
    """Kill for so long; stops at the first round that does not balance."""
    fork_server(tuple(READY))
    began, rng = monotonic(), random.Random(given.seed)
    with TemporaryDirectory(prefix="crash-") as name, ExitStack() as stack:
        folder = Path(name)
        modality = Modality("DICOMNODE", free_port())
        pacs = stack.enter_context(Orthanc(folder / "orthanc", {"node": modality}))
        chain = Chain(folder / "node", pacs.port)
        stack.callback(chain.close)
        (folder / "sent").mkdir()
        crash = Crash(chain, pacs, rng)
        while crash.cycles < given.cycles or monotonic() - began < given.seconds:
            crash.round(folder / "sent", given.round)
            print(json.dumps(crash.figures()), file=sys.stderr, flush=True)
            if crash.wrong:
                break
        return crash.figures()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.crash")
    parser.add_argument("--cycles", type=int, default=CYCLES_PER_ROUND)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--round", type=int, default=CYCLES_PER_ROUND)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    figures = measure(given)
    print(json.dumps(figures))
    return 0 if figures["acknowledged"] and not figures["wrong"] else 1


if __name__ == "__main__":
    sys.exit(main())
