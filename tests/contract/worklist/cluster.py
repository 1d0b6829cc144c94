"""A real PostgreSQL of our own: one cluster, a socket, no port, gone at the end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import unavailable

_SETTINGS = (
    "-c listen_addresses='' -c fsync=off -c full_page_writes=off "
    "-c shared_buffers=32MB -c max_connections=60 -c autovacuum=off"
)


def find_binaries() -> Path | None:
    """The folder with initdb and pg_ctl, the newest version first."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    found = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = sorted(found, key=lambda path: float(path.parts[-3]))
    return newest[-1].parent if newest else None


@dataclass(frozen=True)
class Cluster:
    """A running server; ``folder`` holds its data and its socket."""

    binaries: Path
    folder: Path

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"

    def start(self) -> None:
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        data = str(self.folder / "data")
        self._run(
            "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync",
            "-E", "UTF8", "--locale=C.UTF-8",
        )  # fmt: skip
        self.resume()

    def resume(self) -> None:
        """Start the server on the data that it has."""
        data = str(self.folder / "data")
        settings = f"{_SETTINGS} -c unix_socket_directories={self.folder}"
        log = str(self.folder / "log")
        self._run("pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", settings)

    def stop(self) -> None:
        data = str(self.folder / "data")
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)

    def restart(self) -> None:
        """As after a crash: no connection is told, the log is played back."""
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self._run("pg_ctl", "restart", "-w", "-m", "immediate", "-D", data, "-l", log)

    def _argv(self, command: list[str]) -> list[str]:
        """How a program of the server is run: never as root."""
        if os.getuid() != 0:
            return command
        return ["runuser", "-u", "postgres", "--", *command]

    def _run(self, program: str, *arguments: str) -> None:
        command = self._argv([str(self.binaries / program), *arguments])
        # Not captured: the server would keep a pipe open for ever.
        log = self.folder / f"{program}.out"
        with log.open("ab") as output:
            done = subprocess.run(
                command, check=False, stdout=output, stderr=output, cwd="/"
            )
        if done.returncode != 0:
            raise RuntimeError(f"{program} failed: {log.read_text()}")


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A server that runs for the body; without PostgreSQL the test skips."""
    binaries = find_binaries()
    if binaries is None:
        unavailable("PostgreSQL (initdb, pg_ctl) is not installed")
    assert binaries is not None
    with ExitStack() as ending:
        server = Cluster(binaries, make_folder())
        ending.callback(shutil.rmtree, server.folder)
        server.start()
        ending.callback(server.stop)
        yield server


def make_folder() -> Path:
    """A folder that the server's own user can reach, short enough for a socket."""
    return Path(tempfile.mkdtemp(prefix="dicomnode-pg-", dir=quick_folder()))


def quick_folder() -> str:
    """Memory where there is some: these tests ask for many disk syncs."""
    memory = Path("/dev/shm")
    return str(memory) if os.access(memory, os.W_OK) else "/tmp"
