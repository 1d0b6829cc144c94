"""What runs on hosts of the `hosts` harness: a database, an object store, roles."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from dicomnode.demo.program import Program, wait_until
from dicomnode.store.bucket import Bucket, Place
from tests.contract.worklist.cluster import Cluster
from tests.faults.networks import SWITCH, Host, enter
from tests.faults.roles import Role, _context, _run

READY = {
    "receive": "receiver.ready",
    "work": "worker.ready",
    "keep": "role.started",
    "deliver": "role.started",
    "web": "role.started",
}
"""What a role says when it has begun its work."""

BUCKET = "group"
OBJECTS_PORT = 9000
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


class HostedObjects(Program):
    """An S3 server (moto's) on a host, with one bucket; it keeps all in memory.

    So it may be cut off or stand still, and never be killed.
    """

    def __init__(self, host: Host, log: Path) -> None:
        self.host = host
        argv = [sys.executable, "-c", _SERVES, "-H", "0.0.0.0", "-p", str(OBJECTS_PORT)]
        super().__init__("object store", host.command(*argv), log)

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://{self.host.address}:{OBJECTS_PORT}"

    def bucket(self, kind: str) -> Bucket:
        """The part of the bucket for instances or results."""
        return Bucket(Place(BUCKET, f"node/{kind}", self.endpoint))

    def make_bucket(self) -> None:
        """Once it answers."""
        client = Bucket(Place("", "", self.endpoint, timeout_seconds=60))._client

        def made() -> bool:
            try:
                client.create_bucket(Bucket=BUCKET)
            except OSError:
                return False
            except Exception as error:
                if "connect" in str(error):
                    return False
                raise
            return True

        if not wait_until(made, self.check, _START_SECONDS):
            raise TimeoutError(f"the object store does not answer; see {self.log}")


_SERVES = "from moto.server import main; main()"


class HostedRole(Role):
    """A role on a host of its own, with a data folder of its own."""

    def __init__(self, name: str, host: Host, folder: Path) -> None:
        super().__init__(name, folder / "config.toml", folder / "log")
        self.host = host
        self.folder = folder

    def start(self) -> None:
        arguments = (self.host.keeper, *self._arguments)
        process = _context().Process(target=_run_there, args=arguments, daemon=False)
        process.start()
        self._process = process

    def begun(self) -> None:
        """Wait until it works: three that load a network at once take their time."""
        event = READY[self.name]

        def has_said() -> bool:
            return any(one["pid"] == self.pid for one in self.said(event))

        if not wait_until(has_said, self._lives, _START_SECONDS):
            raise TimeoutError(f"{self} is not ready; see {self.log}")

    def freeze(self) -> None:
        """As a machine that swaps, or that is moved, stands still."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on, and knows nothing of the time between."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def mark(self) -> str:
        """How a worker or a leader of this process names itself."""
        return f"{self.host.name}-{self.pid}"

    def answers(self) -> bool:
        """Whether the pages of this host are ready."""
        argv = self.host.command(sys.executable, "-c", _ASK)
        return subprocess.run(argv, capture_output=True).returncode == 0

    def _lives(self) -> None:
        if not self.is_running:
            raise RuntimeError(f"{self} ended by itself; see {self.log}")

    def __str__(self) -> str:
        return self.host.name


def _take_over_sooner() -> None:
    """Hundreds of faults wait for a lease each: the same leases, and shorter."""
    from dicomnode.processes import keep

    keep.LEADER_LEASE_SECONDS, keep.REAP_SECONDS = 4, 1


_ASK = (
    "import urllib.request as u; "
    "direct = u.build_opener(u.ProxyHandler({})); "
    "direct.open('http://127.0.0.1:8080/readyz', timeout=300)"
)


def _run_there(keeper: int, name: str, config: str, log: str, without: str) -> None:
    enter(keeper)
    _take_over_sooner()
    _run(name, config, log, without)
