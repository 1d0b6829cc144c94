"""A hospital group in small: `python -m tests.faults.hosts [--rounds N]`.

On PostgreSQL, each on a host of its own: a database; two hosts that each receive, work,
keep, deliver and serve pages; one that only works. A modality keeps what is not
answered with Success and turns to the other receiver. In each round any one role is
killed, any host is cut off, and PostgreSQL is restarted; the two instances of every
study go to different receivers. In the end every acknowledged instance is there byte
for byte, every study was analysed exactly once, each result was sent, and the queue is
empty.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph
from dicomnode.demo.program import wait_until
from dicomnode.errors import WorklistError
from model.phantom import chest
from tests.contract.worklist.cluster import Cluster, find_binaries, make_folder
from tests.faults.chain import Chain, StoreScp
from tests.faults.modality import AE_TITLE, Sample, acknowledged, saved
from tests.faults.networks import SWITCH, Host, alone, enter, hosts
from tests.faults.roles import HANG_SECONDS, Role, _context, _run, fork_server

PORT = 11112
SIDE = 128
WHOLE = ("receive", "keep", "work", "deliver", "web")
HOSTS = {"one": WHOLE, "two": WHOLE, "three": ("work",)}
_READY = {
    "receive": "receiver.ready",
    "work": "worker.ready",
    "keep": "role.started",
    "deliver": "role.started",
    "web": "role.started",
}
_DRAIN_SECONDS = 600.0
_START_SECONDS = 600.0


@dataclass(frozen=True)
class HostedCluster(Cluster):
    """A PostgreSQL server on a host, for every other host."""

    host: Host

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@{self.host.address}/{database}"

    def start(self) -> None:
        super().start()
        admitted = f"host all all {SWITCH}/24 trust\n"
        with (self.folder / "data" / "pg_hba.conf").open("a") as file:
            file.write(admitted)
        with (self.folder / "data" / "postgresql.auto.conf").open("a") as file:
            file.write("listen_addresses = '*'\nmax_connections = 200\n")
        self.stop()
        self.resume()

    def resume(self) -> None:
        data, log = str(self.folder / "data"), str(self.folder / "log")
        quick = f"-c fsync=off -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", quick)

    def _argv(self, command: list[str]) -> list[str]:
        return self.host.command(*super()._argv(command))


class HostedRole(Role):
    """A role on a host."""

    def __init__(self, name: str, host: Host, config: Path) -> None:
        super().__init__(name, config, config.parent / f"{name}-{host.name}.log")
        self.host = host

    def start(self) -> None:
        arguments = (self.host.keeper, *self._arguments)
        process = _context().Process(target=_run_there, args=arguments, daemon=False)
        process.start()
        self._process = process

    def ready(self, event: str) -> None:
        """Three workers that load a network at once take their time."""
        if not wait_until(lambda: self._has_said(event), self._lives, _START_SECONDS):
            raise TimeoutError(f"{self} is not ready; see {self.log}")

    def _has_said(self, event: str) -> bool:
        return any(one["pid"] == self.pid for one in self.said(event))

    def _lives(self) -> None:
        if not self.is_running:
            raise RuntimeError(f"{self} ended by itself; see {self.log}")

    def __str__(self) -> str:
        return f"{self.name} on {self.host.name}"


def _run_there(keeper: int, name: str, config: str, log: str, without: str) -> None:
    enter(keeper)
    _run(name, config, log, without)


class Group:
    """The hosts, their roles, the database and the PACS; all share one store."""

    def __init__(self, folder: Path, cluster: HostedCluster, pacs: StoreScp) -> None:
        self.cluster = cluster
        self.hosts = {"database": cluster.host}
        url = cluster.url("postgres")
        self.chain = Chain(folder / "node", pacs.port, (), url)
        self.roles: list[HostedRole] = []

    def settle_in(self, made: dict[str, Host], pacs_port: int) -> None:
        """Give every host its configuration and its roles."""
        for name, roles in HOSTS.items():
            host = self.hosts[name] = made[name]
            config = self.chain.folder / f"{name}.toml"
            config.write_text(self._config(pacs_port))
            self.roles += [HostedRole(role, host, config) for role in roles]
        for one in self.roles:
            one.start()
        for one in self.roles:
            one.ready(_READY[one.name])

    def of(self, name: str) -> list[HostedRole]:
        """Every instance of a role."""
        return [one for one in self.roles if one.name == name]

    def heal(self, but: HostedRole | None = None) -> list[str]:
        """As a supervisor does: every role running; the roles that had ended."""
        ended = [one for one in self.roles if not (one.is_running or one is but)]
        for one in ended:
            one.start()
        return [str(one) for one in ended]

    def leader(self) -> HostedRole:
        """The keep that leads."""
        with self.chain.worklist._database.read() as connection:
            [holder] = connection.exec_driver_sql("SELECT holder FROM leaders").one()
        return next(one for one in self.of("keep") if holder.endswith(f"-{one.pid}"))

    def web_answers(self, role: HostedRole) -> bool:
        """Whether the pages of a host are ready."""
        argv = role.host.command(sys.executable, "-c", _ASK)
        return subprocess.run(argv, capture_output=True).returncode == 0

    def close(self) -> None:
        for one in self.roles:
            one.kill()
        self.chain.close()

    def _config(self, pacs_port: int) -> str:
        text = (self.chain.folder / "config.toml").read_text()
        for old, new in (
            ("[web]\nenabled = false", '[web]\nanonymous = "viewer"'),
            ('[receiver]\nhost = "127.0.0.1"', '[receiver]\nhost = "0.0.0.0"'),
            (f"port = {self.chain.port}", f"port = {PORT}"),
            ('hosts = ["127.0.0.1"]', f'hosts = ["{SWITCH}"]'),
            (f'host = "127.0.0.1"\nport = {pacs_port}',
             f'host = "{SWITCH}"\nport = {pacs_port}'),
            ("quiet_seconds = 0.5", "quiet_seconds = 600\nexpected_n_instances = 2"),
            ("concurrent_jobs = 4\n", ""),
            ("[worker]\n", "[worker]\ndecoders = 1\nconcurrent_jobs = 1\n"),
        ):  # fmt: skip
            text = text.replace(old, new)
        return text


_ASK = (
    "import urllib.request as u; "
    "u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8080/readyz', timeout=5)"
)


class Modality:
    """Sends the instances of a study to different receivers, until all are taken."""

    def __init__(self, group: Group, folder: Path, seed: int) -> None:
        self._receivers = [one.host.address for one in group.of("receive")]
        self._folder = folder
        self._rng = random.Random(seed)
        self.taken: list[Sample] = []
        self._turn = 0

    def studies(self, number: int) -> list[Sample]:
        """New radiographs, two for each study."""
        made: list[Sample] = []
        for _ in range(number):
            which, at = self._rng.randrange(10**9), datetime.now(UTC)
            order = Order(which, "PHANTOM^GROUP", "O", at)
            for one in (1, 2):
                pixels = chest(which % 8 + one, view="PA", rows=SIDE, columns=SIDE)
                ds = digital_radiograph(order, Exposure(pixels), one)
                made.append(saved(ds, self._folder / f"{ds.SOPInstanceUID}.dcm"))
        return made

    def send(self, samples: Sequence[Sample]) -> None:
        """Until each is answered with Success by one of the receivers."""
        waiting = list(samples)
        began = monotonic()
        while waiting:
            self._turn += 1
            for number, address in enumerate(self._receivers):
                mine = [
                    one for place, one in enumerate(waiting)
                    if (place + self._turn + number) % 2 == 0
                ]  # fmt: skip
                self.taken += _stored(address, mine)
            waiting = [one for one in waiting if one not in self.taken]
            if monotonic() - began > HANG_SECONDS:
                raise TimeoutError(f"{len(waiting)} instances are not taken")


def _stored(address: str, samples: list[Sample]) -> list[Sample]:
    if not samples:
        return []
    argv = ["storescu", "-v", "-aet", AE_TITLE, "-aec", "DICOMNODE", "-to", "2"]
    argv += ["-td", "15", "-ta", "5", "-xe", "--no-halt", address, str(PORT)]
    argv += [str(one.path) for one in samples]
    done = subprocess.run(argv, capture_output=True, text=True, errors="replace")
    return acknowledged(done.stdout + done.stderr, samples)


@contextmanager
def group(folder: Path) -> Iterator[Group]:
    """All of it, ready; ended at the end. This process is the switch."""
    binaries = find_binaries()
    if binaries is None:
        raise RuntimeError("PostgreSQL (initdb, pg_ctl) is not installed")
    with ExitStack() as stack:
        made = stack.enter_context(hosts(["database", *HOSTS]))
        cluster = HostedCluster(binaries, make_folder(), made["database"])
        cluster.start()
        stack.callback(cluster.stop)
        pacs = stack.enter_context(StoreScp(folder))
        found = Group(folder, cluster, pacs)
        stack.callback(found.close)
        found.settle_in(made, pacs.port)
        yield found


class Trial:
    """Faults while studies come, and what must hold in the end."""

    def __init__(self, found: Group, folder: Path, seed: int) -> None:
        self.group = found
        self.modality = Modality(found, folder, seed)
        self._rng = random.Random(seed)
        self.revived: list[str] = []

    def kill(self, role: HostedRole) -> None:
        """Kill one while studies come; they are analysed before it is back."""
        _say(f"kill {role}")
        samples = self.modality.studies(2)
        self.modality.send(samples[:1])
        role.kill()
        self.modality.send(samples[1:])
        self.drained(samples, role)
        self.group.heal()
        role.ready(_READY[role.name])

    def cut_off(self, host: Host) -> None:
        """Pull the cable of a host while studies come; the others analyse them."""
        _say(f"cut off {host.name}")
        samples = self.modality.studies(2)
        self.modality.send(samples[:1])
        host.unplug()
        if host is self.group.cluster.host:
            host.plug_in()
        try:
            self.modality.send(samples[1:])
            if host is not self.group.cluster.host:
                self.drained(samples)
        finally:
            host.plug_in()
        self.drained(samples)

    def restart_database(self) -> None:
        """As after a crash of it, while studies come."""
        _say("restart PostgreSQL")
        samples = self.modality.studies(2)
        self.modality.send(samples[:1])
        self.group.cluster.restart()
        self.modality.send(samples[1:])
        self.drained(samples)

    def drained(
        self, samples: Sequence[Sample], killed: HostedRole | None = None
    ) -> None:
        """Wait until their studies are analysed and delivered, without ``killed``."""
        studies = {one.study_instance_uid for one in samples}

        def done() -> bool:
            self.revived += self.group.heal(killed)
            try:
                return self.group.chain.settled(studies)
            except WorklistError:
                return False  # the database is away

        if not wait_until(done, lambda: None, _DRAIN_SECONDS):
            rows = self.group.chain.rows(studies)
            raise TimeoutError(f"the queue does not drain: {json.dumps(rows)}")

    def wrong(self) -> list[str]:
        """What is lost, doubled or left over, of all that was sent."""
        chain = self.group.chain
        studies = {one.study_instance_uid for one in self.modality.taken}
        self.drained(self.modality.taken)
        silent = [
            f"no pages: {one}" for one in self.group.of("web")
            if not self.group.web_answers(one)
        ]  # fmt: skip
        return [
            *chain.lost(self.modality.taken), *chain.not_once(studies),
            *chain.left_over(), *silent,
        ]  # fmt: skip


def short(trial: Trial) -> None:
    """Each kind of fault once: the keep that leads, a host, the database."""
    found = trial.group
    leading = found.leader()
    trial.kill(leading)
    assert found.leader() is not leading
    trial.cut_off(found.hosts["one"])
    trial.restart_database()


def long(trial: Trial, rounds: int) -> None:
    """Every role and every host in each round, and the database."""
    for _ in range(rounds):
        for role in list(trial.group.roles):
            trial.kill(role)
        for host in trial.group.hosts.values():
            trial.cut_off(host)
        trial.restart_database()


def _say(what: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {what}", flush=True)


def _inside(rounds: int, seed: int) -> int:
    fork_server(("receive", "keep", "deliver", "work", "web"))
    with TemporaryDirectory(prefix="dicomnode-hosts-") as name, ExitStack() as stack:
        folder = Path(name)
        found = stack.enter_context(group(folder))
        _say(f"{len(found.roles)} roles on {len(found.hosts)} hosts")
        trial = Trial(found, folder, seed)
        long(trial, rounds) if rounds else short(trial)
        wrong = trial.wrong()
        counts = found.chain.worklist.views.counts()["job"]
    studies = len({one.study_instance_uid for one in trial.modality.taken})
    _say(f"{studies} studies, {len(trial.modality.taken)} instances; jobs {counts}")
    _say(f"started again: {', '.join(trial.revived) or 'nothing'}")
    for one in wrong:
        print(one)
    _say("nothing lost, nothing twice, the queue is empty" if not wrong else "WRONG")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0, help="0: a short run")
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        return _inside(given.rounds, given.seed)
    words = ["--inside", "--rounds", str(given.rounds), "--seed", str(given.seed)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(alone("tests.faults.hosts", words), env=environ).returncode


if __name__ == "__main__":
    sys.exit(main())
