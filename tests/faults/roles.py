"""The node's roles as real processes that start at once and may be killed at any time.

A fork server has everything imported, so a start costs milliseconds and hours of
killing mean many cycles. Each process runs `main` of its role, as the command does.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import socket
import stat
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep

HANG_SECONDS = 600
"""A hung role must end; nothing is asserted about speed."""

_POLL_SECONDS = 0.002
_LIGHT = ("receive", "keep", "deliver")


def fork_server(roles: tuple[str, ...] = _LIGHT) -> None:
    """Say what the fork server imports, before the first role starts.

    A SIGTERM ends the harness in order: no role, disk or file of it stays behind.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    names = [f"dicomnode.processes.{role}" for role in roles]
    names += ["dicomnode.worklist.migrations.running", "logging.config", "alembic"]
    _context().set_forkserver_preload(["__main__", __name__, *names])


def _context() -> multiprocessing.context.ForkServerContext:
    return multiprocessing.get_context("forkserver")


class Role:
    """One role on one configuration; ``without`` leaves one durable sync out."""

    def __init__(self, name: str, config: Path, log: Path, without: str = "") -> None:
        self.name = name
        self.log = log
        self._arguments = (name, str(config), str(log), without)
        self._process: BaseProcess | None = None

    def start(self) -> None:
        """Start it, or start it again once it has ended."""
        if self._process is not None:
            self.wait()
        process = _context().Process(target=_run, args=self._arguments, daemon=True)
        process.start()
        self._process = process

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended, or been killed, since its start."""
        process = self._process
        return process is not None and process.is_alive() and not _ended(self.pid)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def terminate(self) -> int | None:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.terminate()
        return self.wait()

    def wait(self) -> int | None:
        """Until it has ended; the exit status, negative for a signal."""
        assert self._process is not None
        self._process.join(HANG_SECONDS)
        if self._process.exitcode is None:
            raise TimeoutError(f"{self.name} does not end; see {self.log}")
        return self._process.exitcode

    def said(self, event: str) -> list[dict[str, object]]:
        """The lines of its log with this event, over all its lives."""
        if not self.log.exists():
            return []
        lines = self.log.read_text("utf-8", errors="replace").split("\n")
        # The last may be half written, and one that was killed leaves half a line.
        told = [_parsed(line) for line in lines[:-1]]
        return [one for one in told if one.get("event") == event]

    def ready(self, event: str) -> None:
        """Wait until this process has said so."""
        began = monotonic()
        while not any(one["pid"] == self.pid for one in self.said(event)):
            if not self.is_running or monotonic() - began > HANG_SECONDS:
                raise TimeoutError(f"{self.name} is not ready; see {self.log}")
            sleep(_POLL_SECONDS)

    def listening(self, port: int) -> float:
        """Wait until a connection to ``port`` is accepted; how long that took."""
        began = monotonic()
        while not _connects(port):
            if not self.is_running or monotonic() - began > HANG_SECONDS:
                raise TimeoutError(f"{self.name} does not listen; see {self.log}")
            sleep(_POLL_SECONDS)
        return monotonic() - began


def _ended(pid: int) -> bool:
    """Whether it was killed; its parent may not have heard of it yet."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return True
    return text.rpartition(")")[2].split()[0] in "ZX"


def _parsed(line: str) -> dict[str, object]:
    """Nothing of a line that is none of ours."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _run(name: str, config: str, log: str, without: str) -> None:
    """In the new process."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(Path(config).parent)
    os.environ["TMPDIR"] = str(Path(config).parent / "tmp")
    from dicomnode.config import load

    if without:
        _leave_out(without)
    main = importlib.import_module(f"dicomnode.processes.{name}").main
    sys.exit(int(main(load(Path(config)))))


def _leave_out(which: str) -> None:
    """Break the product on purpose: the harness must find out."""
    if which == "wal":
        _leave_out_the_log()
        return
    wanted = {"file": stat.S_IFREG, "folder": stat.S_IFDIR}[which]
    sync = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_IFMT(os.fstat(fd).st_mode) != wanted:
            sync(fd)

    os.fsync = fsync


def _leave_out_the_log() -> None:
    from dicomnode.worklist import sqlite

    prepare = sqlite._prepare_writer

    def prepare_badly(connection, record):
        prepare(connection, record)
        sqlite._pragma(connection, "synchronous=NORMAL")

    sqlite._prepare_writer = prepare_badly
