"""A worklist database of either kind for a bench, gone at its end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contract.worklist.cluster import Cluster, find_binaries, make_folder

KINDS = ("sqlite", "postgresql")


class DurableCluster(Cluster):
    """As in production: what is committed is synced."""

    def resume(self) -> None:
        data, log = str(self.folder / "data"), str(self.folder / "log")
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder}"
        self._run("pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", options)


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database on a server that syncs."""
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL (initdb, pg_ctl) is not installed; install it")
    server = DurableCluster(binaries, make_folder())
    try:
        server.start()
        try:
            yield server.url("postgres")
        finally:
            server.stop()
    finally:
        shutil.rmtree(server.folder)


@contextmanager
def sqlite(name: str = "worklist.db") -> Iterator[str]:
    """The URL of a database that is not there yet."""
    with tempfile.TemporaryDirectory(prefix="dicomnode-bench-") as folder:
        yield f"sqlite:///{Path(folder) / name}"


OPENED = {"sqlite": sqlite, "postgresql": postgresql}
