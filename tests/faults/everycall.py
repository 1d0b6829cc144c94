"""A fault at every system call: `python -m tests.faults.everycall PATH`.

For each kind of call and each N: the Nth one of one C-STORE (or of one study on its way
to its job, one job, one delivery) is where the process is killed, or where the kernel
answers an error, until N is more than there are. Then the role is started again and
everything must be as if nothing had happened: what was acknowledged is there once,
nothing else is (SQLite's own method).

`--how`: KILL, or errors of errno(3): EIO, ENOSPC, EMFILE.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import structlog

from dicomnode.assembler import Assembler
from dicomnode.config import load
from dicomnode.domain.completion import CompletionPolicy
from dicomnode.domain.delivery import NewResult
from dicomnode.domain.instance import InstanceKey
from dicomnode.domain.job import Outcome
from dicomnode.processes import wiring
from dicomnode.processes.clock import SystemClock
from dicomnode.router import Router
from tests.faults.chain import Chain, StoreScp, until
from tests.faults.modality import Sample, made, send
from tests.faults.passing import EXPLICIT, Intake, Passing
from tests.faults.roles import fork_server
from tests.faults.tracing import attached
from tests.integration.rig import data_set

CR = "1.2.840.10008.5.1.4.1.1.1"
DURABLE = ("fsync", "fdatasync", "renameat")
DISK = (*DURABLE, "openat", "write", "pwrite64", "pread64", "unlinkat", "ftruncate")
EVERY = (
    *(*DISK, "mkdir", "unlink", "close", "fcntl", "flock", "fstat", "newfstatat"),
    *("lseek", "read", "rmdir", "sendto", "recvfrom", "statfs", "mmap", "munmap"),
    *("socket", "connect", "getdents64", "getsockopt", "setsockopt", "shutdown"),
)


class Deed(Protocol):
    """What is done once with a fault in the middle."""

    role: str
    acknowledged: int

    def act(self) -> None:
        """Do it, however it ends; a role that is dead is not waited for."""

    def settle(self) -> None:
        """Do what is left of it with a role that is well."""

    def wrong(self) -> list[str]:
        """What does not hold in the end."""


class Storing:
    """One C-STORE of DCMTK, sent again until it is answered Success."""

    role = "receive"

    def __init__(self, chain: Chain, folder: Path, rng: random.Random) -> None:
        self._chain, self._folder, self._rng = chain, folder, rng
        self._sample: Sample | None = None
        self._answered: list[Sample] = []
        self.acknowledged = 0

    def act(self) -> None:
        self._sample = made(self._folder, self._rng)
        self._answered = send(self._chain.port, [self._sample])
        self.acknowledged += len(self._answered)

    def settle(self) -> None:
        assert self._sample is not None
        # Before it is sent again: what was answered must be there already.
        self._before = self._chain.lost(self._answered)
        until(self._taken, "the same instance, sent again")

    def _taken(self) -> bool:
        # A role whose disk has failed may first refuse, then end.
        if not self._answered:
            self._chain.revive(self.role)
            self._answered = send(self._chain.port, [self._sample])
        return bool(self._answered)

    def wrong(self) -> list[str]:
        return self._before + self._chain.lost(self._answered)


class Working:
    """One job, from its claim to its results in the outbox."""

    role = "work"

    def __init__(self, chain: Chain, folder: Path, rng: random.Random) -> None:
        self._chain = chain
        config = load(chain.folder / "config.toml")
        clock, self._intake = SystemClock(), Intake(chain, folder, rng)
        policy = CompletionPolicy(quiet_seconds=0)
        studies = chain.worklist.studies
        decide = Router(studies, wiring.rules(config), clock).decide
        self._assemble = Assembler(studies, policy, clock, decide)
        self.study = ""
        self.acknowledged = 0

    def act(self) -> None:
        self.study = self._intake.take().study_instance_uid
        self._assemble.run_once()
        role = self._chain.roles[self.role]
        until(lambda: self._ended() or not role.is_running, "the job")
        self.acknowledged += self._ended()

    def settle(self) -> None:
        until(self._ended_well, "the job")

    def _ended_well(self) -> bool:
        self._chain.revive(self.role)
        self._chain.reap()
        return self._ended()

    def wrong(self) -> list[str]:
        (row,) = self._rows()
        end = (row["job_state"], row["outcome"])
        if end != ("COMPLETED", "ANALYSED"):
            return [f"{end} {row['error']}"]
        kinds = Counter(one["result_kind"] for one in self._chain.deliveries([row]))
        once = kinds["sr"] == 1 and set(kinds.values()) == {1}
        return [] if once else [f"results {dict(kinds)}"]

    def _rows(self) -> list[dict[str, object]]:
        return self._chain.rows({self.study})

    def _ended(self) -> bool:
        return [row["job_state"] for row in self._rows()] in (["COMPLETED"], ["FAILED"])


class Delivering:
    """One result, from the outbox to a PACS (DCMTK's storescp)."""

    role = "deliver"

    def __init__(
        self, chain: Chain, folder: Path, rng: random.Random, pacs: StoreScp
    ) -> None:
        self._chain, self._folder, self._rng, self._pacs = chain, folder, rng, pacs
        self._sample: Sample | None = None
        self.acknowledged = 0

    def act(self) -> None:
        self._sample = one = made(self._folder, self._rng)
        self._queue(one)
        role = self._chain.roles[self.role]
        until(lambda: self._sent() or not role.is_running, "the delivery")
        self.acknowledged += self._sent()

    def settle(self) -> None:
        until(self._sent_well, "the delivery")

    def _sent_well(self) -> bool:
        self._chain.revive(self.role)
        return self._sent()

    def wrong(self) -> list[str]:
        assert self._sample is not None
        came = set(self._pacs.contents())
        return [] if self._sample.sha256 in came else ["SENT and not in the PACS"]

    def _queue(self, one: Sample) -> None:
        from tests.contract.worklist.making import claimed

        study = one.study_instance_uid
        key = InstanceKey(study, study, one.sop_instance_uid, CR, EXPLICIT)
        stored = self._chain.results.put(key, [data_set(one.path)])
        now = SystemClock().now()
        job = claimed(self._chain.worklist, study, now)
        result = NewResult(
            *("sr", CR, one.sop_instance_uid, study),
            *(stored.location, stored.sha256, ("PACS",)),
        )
        self._chain.worklist.jobs.finish(job, Outcome.ANALYSED, "", [result], now)

    def _sent(self) -> bool:
        assert self._sample is not None
        uid = self._sample.sop_instance_uid
        every = self._chain.worklist.views.deliveries()
        states = [one["state"] for one in every if one["sop_instance_uid"] == uid]
        return states == ["SENT"]


_PATHS: dict[str, Callable[[Chain, Path, random.Random], Deed]] = {
    "store": Storing,
    "study": Passing,
    "job": Working,
}


class Sweep:
    """Faults at every call of a path."""

    def __init__(self, chain: Chain, path: Deed):
        self._chain, self._path = chain, path
        self._role = chain.roles[path.role]
        self._trace = chain.folder / "injected"
        self.injected: Counter[str] = Counter()
        self.wrong: list[str] = []

    def run(self, how: str, calls: Sequence[str], most: int) -> None:
        """Every N of every call, ``most`` of each at the most."""
        for call in calls:
            for number in self._numbers(most):
                if not self._once(how, call, number):
                    break
                self.injected[f"{how} {call}"] += 1

    def _numbers(self, most: int) -> Iterator[int]:
        return iter(range(1, most + 1)) if most else count(1)

    def _once(self, how: str, call: str, number: int) -> bool:
        self._chain.revive(self._role.name)
        self._trace.write_text("")
        what = "signal=KILL" if how == "KILL" else f"error={how}"
        inject = f"inject={call}:{what}:when={number}"
        options = ("-e", f"trace={call}", "-e", inject, "-o", str(self._trace))
        with attached(self._role.pid, *options):
            self._path.act()
        told = self._trace.read_text(errors="replace")
        hit = "INJECTED" in told or not self._role.is_running
        self._chain.revive(self._role.name)
        self._path.settle()
        found = self._path.wrong() + self._chain.left_over()
        self.wrong += [f"{how} {call} {number}: {one}" for one in found]
        return hit


def be_quiet() -> None:
    """Assembler and router speak here too; only the figures are to be printed."""
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(wrapper_class=quiet)


def measure(
    what: str, hows: Sequence[str], calls: Sequence[str], most: int, seed: int
) -> dict[str, object]:
    """Run a sweep; its figures."""
    fork_server(("receive", "keep", "deliver") if what != "job" else ("work",))
    be_quiet()
    rng = random.Random(seed)
    with TemporaryDirectory(prefix="everycall-") as name, ExitStack() as stack:
        folder = Path(name)
        pacs = stack.enter_context(StoreScp(folder))
        chain = Chain(folder / "node", pacs.port)
        stack.callback(chain.close)
        sent = folder / "sent"
        sent.mkdir()
        path: Deed
        if what == "delivery":
            path = Delivering(chain, sent, rng, pacs)
        else:
            path = _PATHS[what](chain, sent, rng)
        sweep = Sweep(chain, path)
        for how in hows:
            sweep.run(how, calls, most)
        return {
            "path": what,
            "injected": sum(sweep.injected.values()),
            "by_call": dict(sweep.injected),
            "acknowledged": path.acknowledged,
            "wrong": sweep.wrong,
        }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.everycall")
    parser.add_argument("path", choices=[*_PATHS, "delivery"])
    parser.add_argument("--how", default="KILL")
    parser.add_argument(
        "--calls", default="durable", help="durable, disk, every, or names"
    )
    parser.add_argument("--most", type=int, default=0, help="of each call; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    named = {"durable": DURABLE, "disk": DISK, "every": EVERY}
    calls = named.get(given.calls) or tuple(given.calls.split(","))
    hows = given.how.split(",")
    figures = measure(given.path, hows, calls, given.most, given.seed)
    print(json.dumps(figures))
    return 0 if figures["injected"] and not figures["wrong"] else 1


if __name__ == "__main__":
    sys.exit(main())
