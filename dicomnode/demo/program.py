"""A program that the demonstration starts, watches and ends."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Self

from dicomnode.demo.failure import DemoFailed

_POLL_SECONDS = 0.05
_GRACE_SECONDS = 75.0
"""Longer than a supervisor gives its roles; killed before, it would leave them."""

_LOG_LINES = 15
_PORTS = range(20_000, 32_768)
"""Below those that Linux gives to connections that go out: none of them can take one
between being found and being bound by a server.
"""
_PORT_TRIES = 100


def free_port() -> int:
    """A TCP port of the loopback that is free, and given to nobody else for a minute.

    Servers set SO_REUSEADDR, as all of ours do, or they could not start again either.
    """
    some = (_PORTS[secrets.randbelow(len(_PORTS))] for _ in range(_PORT_TRIES))
    for port in (*some, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return _reserved(probe)
    raise DemoFailed("no TCP port of the loopback is free; end some programs")


def _reserved(probe: socket.socket) -> int:
    """The port of ``probe``, in TIME_WAIT (RFC 9293 3.6) after a connection to itself.

    So no other `free_port` finds it, in whatever process, and a server may bind it.
    """
    # Only after the bind: with it, that would have succeeded on a reserved port too.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    probe.listen(1)
    with socket.create_connection(probe.getsockname()):
        # Whoever closes first keeps the port: here, the end that was accepted.
        probe.accept()[0].close()
        return int(probe.getsockname()[1])


def wait_until(
    ready: Callable[[], bool], alive: Callable[[], None], timeout_seconds: float
) -> bool:
    """Ask ``ready`` until it says yes; False after ``timeout_seconds``.

    ``alive`` raises when waiting has become pointless.
    """
    deadline = monotonic() + timeout_seconds
    while not ready():
        if monotonic() > deadline:
            return False
        alive()
        sleep(_POLL_SECONDS)
    return True


class Program:
    """A subprocess in a group of its own; the context manager ends it for good."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self._environment is None else dict(self._environment),
                # Ctrl-C is for the demonstration, which then ends this in order.
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
        finally:  # also when an impatient second Ctrl-C ends the wait
            if process.poll() is None:
                # It leads a group of its own: nothing it started may stay behind.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is None or self._process.poll() is not None

    def check(self) -> None:
        """Raise DemoFailed, with the end of the log, when it has ended by itself."""
        if self.ended():
            message = (
                f"{self.name} ended by itself; the end of its log:\n{self.tail()}\n"
                f"correct what it says there and run the demo again"
            )
            raise DemoFailed(message)

    def tail(self) -> str:
        """The last lines of its log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-_LOG_LINES:])
