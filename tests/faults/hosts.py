"""A hospital group in small: `python -m tests.faults.hosts [--rounds N] [--spool]`.

Two receivers, three workers, two keeps, two deliverers and two web processes, each on a
host of its own (network namespaces), on PostgreSQL and an S3 object store, which have
hosts too. A modality keeps what is not answered with Success and turns to the other
receiver, so the two instances of every study go to different hosts. In each round every
role is killed, frozen and cut off, half of the group is cut off at once, the object
store is cut off, PostgreSQL is cut off and restarted, a worker is added, one is asked
to stop with a job in hand, one is killed with a job in hand. In the end every
acknowledged instance is there byte for byte, every study was analysed exactly once, the
PACS has each result, nothing is left over on any host, and the queue is empty.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

from dicomnode.demo.program import wait_until
from dicomnode.errors import WorklistError
from tests.faults.group import LATER, RACK, Group, group
from tests.faults.hosted import HostedRole
from tests.faults.modality import Sample
from tests.faults.networks import Host, alone
from tests.faults.roles import fork_server
from tests.faults.turning import Modality
from tests.object_server import CREDENTIALS

_DRAIN_SECONDS = 600.0
_AWAY_SECONDS = 5.0
"""How long the database and the object store are away: nothing goes on without them.

The modality waits that long too, and a little longer, before it turns to the other
receiver: what is then answered to nobody comes again, and is a duplicate.
"""


class Trial:
    """Faults while studies come, and what must hold in the end."""

    def __init__(
        self, found: Group, folder: Path, seed: int, *, spools: bool = False
    ) -> None:
        self.group = found
        self.spools = spools
        self.modality = Modality(found, folder, seed)
        self.revived: list[str] = []
        self.longest_seconds = 0.0

    def kill(self, role: HostedRole) -> None:
        """Kill one while studies come; they are analysed before it is back."""
        self._without(f"kill {role}", role.kill, lambda: self._back(role), role)

    def freeze(self, role: HostedRole) -> None:
        """One stands still while studies come, and goes on when they are analysed."""
        self._without(f"freeze {role}", role.freeze, role.thaw)

    def cut_off_role(self, role: HostedRole) -> None:
        """Pull the cable of its host."""
        self.cut_off(role.host)

    def cut_off(self, *hosts: Host) -> None:
        """Pull the cables of hosts while studies come; the others analyse them."""

        def break_() -> None:
            for one in hosts:
                one.unplug()

        def mend() -> None:
            for one in hosts:
                one.plug_in()

        names = ", ".join(one.name for one in hosts)
        self._without(f"cut off {names}", break_, mend)

    def _without(
        self,
        what: str,
        break_: Callable[[], None],
        mend: Callable[[], None],
        ended: HostedRole | None = None,
    ) -> None:
        _say(what)
        samples = self.modality.studies(2)
        self.modality.send(samples[:1])
        self._handed_over(samples[:1])
        break_()
        try:
            self.modality.send(samples[1:])
            self.drained(samples, ended)
        finally:
            mend()
        self.drained(samples)

    def away(self, host: Host) -> None:
        """Pull the cable of what all need: they wait, and go on when it is back."""
        _say(f"cut off {host.name}")
        samples = self.modality.studies(2)
        self.modality.send(samples[:1])
        host.unplug()
        ends_at = monotonic() + _AWAY_SECONDS
        try:
            self.modality.send_once(samples[1:])
            sleep(max(0.0, ends_at - monotonic()))
        finally:
            host.plug_in()
        self.modality.send([one for one in samples if one not in self.modality.taken])
        self.drained(samples)

    def spool_away(self) -> None:
        """A host dies with instances in its spool: their studies wait until it is back.

        The object store is away when they come, so both receivers spool them.
        """
        mine = self.group.of("receive")[0]
        _say(f"kill {mine} with instances in its spool")
        samples = self.modality.studies(2)
        studies = {one.study_instance_uid for one in samples}
        objects = self.group.hosts["objects"]
        objects.unplug()
        try:
            self.modality.send(samples)
            mine.kill()
        finally:
            objects.plug_in()
        if not wait_until(
            lambda: self._spooling_hosts(studies) == {mine.host.name}, lambda: None,
            _DRAIN_SECONDS,
        ):  # fmt: skip
            raise TimeoutError(f"spools: {self.group.chain.worklist.views.spools()}")
        sleep(_AWAY_SECONDS)
        begun = [
            one for one in self.group.chain.rows(studies)
            if one["job_state"] not in (None, "SCHEDULED") or one["attempts"]
        ]  # fmt: skip
        assert not begun, f"analysed without what lies on {mine}: {begun}"
        self._back(mine)
        self.drained(samples)

    def _handed_over(self, samples: Sequence[Sample]) -> None:
        """What lies in the spool of a host that is about to go waits until it is back.

        That is a fault of its own, ``spool_away``; the others are analysed meanwhile.
        """
        studies = {one.study_instance_uid for one in samples}
        if self.spools and not wait_until(
            lambda: self._spooling_hosts(studies) == {None}, lambda: None,
            _DRAIN_SECONDS,
        ):  # fmt: skip
            raise TimeoutError(f"spools: {self.group.chain.worklist.views.spools()}")

    def _spooling_hosts(self, studies: set[str]) -> set[object]:
        """In whose spools instances of these studies lie; None among them: nowhere."""
        return {row["spooled_on"] for row in self.group.chain.rows(studies)}

    def restart_database(self) -> None:
        """As after a crash of it, while studies come."""
        _say("restart PostgreSQL")
        samples = self.modality.studies(2)
        self.modality.send(samples[:1])
        self.group.cluster.restart()
        self.modality.send(samples[1:])
        self.drained(samples)

    def workers_come_and_go(self) -> None:
        """Under load one is added, one asked to stop, one killed, each with a job."""
        first, second, *_ = self.group.of("work")
        [added] = (self.group.roles[name] for name in LATER)
        _say(f"add {added}, stop {first}, kill {second} with a job in hand each")
        samples = self.modality.studies(4)
        self.modality.send(samples)
        added.start()
        added.begun()
        job_id = self._with_a_job(first, samples)
        status = first.terminate()
        [row] = self.group.chain.worklist.views.job(job_id)
        finished = (status, row["job_state"], row["attempts"])
        assert finished == (0, "COMPLETED", 1), finished
        self._with_a_job(second, samples)
        second.kill()
        self.drained(samples, first, second)
        for one in (first, second):
            self._back(one)
        assert added.terminate() == 0

    def _with_a_job(self, role: HostedRole, samples: list[Sample]) -> str:
        """Wait until this worker has a job in hand for the first time.

        More is sent when nothing waits: a slow machine must not be buried.
        """
        views = self.group.chain.worklist.views
        while True:
            if not views.counts()["job"]["SCHEDULED"]:
                more = self.modality.studies(2)
                self.modality.send(more)
                samples += more
            ends_at = monotonic() + _AWAY_SECONDS
            while monotonic() < ends_at:
                job_id = self.group.job_of(role)
                rows = views.job(job_id) if job_id else []
                if rows and rows[0]["attempts"] == 1 and not rows[0]["finished_at"]:
                    return str(job_id)

    def _back(self, role: HostedRole) -> None:
        if not role.is_running:
            role.start()
        role.begun()

    def drained(self, samples: Sequence[Sample], *ended: HostedRole) -> None:
        """Wait until their studies are analysed and delivered, without ``ended``."""
        studies = {one.study_instance_uid for one in samples}
        began = monotonic()

        def done() -> bool:
            self._heal(ended)
            try:
                return self.group.chain.settled(studies)
            except WorklistError:
                return False  # the database is away

        if not wait_until(done, lambda: None, _DRAIN_SECONDS):
            rows = self.group.chain.rows(studies)
            raise TimeoutError(f"the queue does not drain: {json.dumps(rows)}")
        self.longest_seconds = max(self.longest_seconds, monotonic() - began)

    def _heal(self, ended: Sequence[HostedRole]) -> None:
        """As a supervisor does: start what has ended by itself, and note it."""
        for name, one in self.group.roles.items():
            if name in LATER or one.is_running or one in ended:
                continue
            one.start()
            self.revived.append(str(one))

    def wrong(self) -> list[str]:
        """What is lost, doubled or left over, of all that was sent."""
        chain = self.group.chain
        taken = self.modality.taken
        studies = {one.study_instance_uid for one in taken}
        self.drained(taken)
        spooled = not self.group.spool_empties(_DRAIN_SECONDS)
        silent = [
            f"no pages: {one}" for one in self.group.of("web") if not one.answers()
        ]
        return [
            *chain.lost(taken), *chain.not_once(studies), *self.group.left_over(),
            *self.group.not_in_pacs(studies), *silent,
            *(["the spool does not become empty"] if spooled else []),
        ]  # fmt: skip


def short(trial: Trial) -> None:
    """Each kind of fault once."""
    found = trial.group
    leading = found.leader()
    trial.kill(leading)
    assert found.leader() is not leading
    trial.cut_off(*(found.hosts[name] for name in RACK))
    trial.away(found.hosts["objects"])
    trial.restart_database()
    trial.workers_come_and_go()
    if trial.spools:
        trial.spool_away()


def long(trial: Trial, rounds: int, rng: random.Random, only: str = "") -> None:
    """Every role and every host in each round, in another order each time.

    ``only``: the faults whose names hold it.
    """
    for number in range(rounds):
        began = monotonic()
        faults = [(name, do) for name, do in _faults(trial).items() if only in name]
        rng.shuffle(faults)
        took = Counter[str]()
        for name, fault in faults:
            at = monotonic()
            fault()
            took[name] = round(monotonic() - at)
        whole = monotonic() - began
        longest = ", ".join(f"{name} {took[name]} s" for name, _ in took.most_common(5))
        _say(f"round {number + 1} of {rounds}: {len(faults)} faults in {whole:.0f} s")
        _say(f"longest: {longest}")


def _faults(trial: Trial) -> dict[str, Callable[[], None]]:
    """Each fault of a round by its name."""
    found = trial.group
    roles = [one for name, one in found.roles.items() if name not in LATER]
    alone = {"kill": trial.kill, "freeze": trial.freeze, "cut off": trial.cut_off_role}
    faults: dict[str, Callable[[], None]] = {
        f"{what} {one}": partial(do, one) for what, do in alone.items() for one in roles
    }
    rack = [found.hosts[name] for name in RACK]
    faults["cut off half"] = partial(trial.cut_off, *rack)
    for name in ("objects", "database"):
        faults[f"away {name}"] = partial(trial.away, found.hosts[name])
    faults["restart database"] = trial.restart_database
    faults["workers"] = trial.workers_come_and_go
    if trial.spools:
        faults["spool"] = trial.spool_away
    return faults


def _say(what: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {what}", flush=True)


def _inside(given: argparse.Namespace) -> int:
    fork_server(("receive", "keep", "deliver", "work", "web"))
    with TemporaryDirectory(prefix="dicomnode-hosts-") as name, ExitStack() as stack:
        folder = Path(name)
        found = stack.enter_context(group(folder, spool=given.spool))
        _say(f"{len(found.running())} roles on {len(found.hosts)} hosts")
        trial = Trial(found, folder, given.seed, spools=given.spool)
        if given.rounds:
            long(trial, given.rounds, random.Random(given.seed), given.only)
        else:
            short(trial)
        wrong = trial.wrong()
        counts = found.chain.worklist.views.counts()["job"]
        twice = len(found.pacs.uids()) - len(set(found.pacs.uids()))
        if wrong and given.keep:
            given.keep.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-r", f"{folder}/.", str(given.keep)], check=True)
    studies = len({one.study_instance_uid for one in trial.modality.taken})
    _say(f"{studies} studies, {len(trial.modality.taken)} instances; jobs {counts}")
    _say(f"started again: {', '.join(trial.revived) or 'nothing'}")
    _say(f"put right by reconcile: {found.chain.reconciled} files without a row")
    _say(f"sent to the PACS again, the same object: {twice}")
    _say(f"longest wait for the queue to drain: {trial.longest_seconds:.1f} s")
    for one in wrong:
        print(one)
    _say("nothing lost, nothing twice, the queue is empty" if not wrong else "WRONG")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="0: a short run")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--only", default="", help="faults of a round by their names")
    parser.add_argument("--spool", action="store_true", help="receivers have a spool")
    parser.add_argument("--keep", type=Path, help="where to keep the logs of a failure")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        return _inside(given)
    words = ["--inside", *sys.argv[1:]]
    environ = {**os.environ, **CREDENTIALS, "OMP_NUM_THREADS": "1"}
    return subprocess.run(alone("tests.faults.hosts", words), env=environ).returncode


if __name__ == "__main__":
    sys.exit(main())
