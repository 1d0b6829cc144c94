"""Several receiver processes on one port: started, watched, restarted, stopped.

Python runs one thread at a time in each process, so the way to use a second core is a
second process. The kernel deals connections out among all sockets that listen on the
port with SO_REUSEPORT; a process that dies takes only its own associations with it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic

import structlog

from dicomnode.config import Config
from dicomnode.errors import ConfigError
from dicomnode.processes import lock, service
from dicomnode.processes.role import role
from dicomnode.processes.service import SUPERVISOR_PID
from dicomnode.processes.sharing import Share
from dicomnode.processes.supervision import Child, Command, stop_all, watch
from dicomnode.receiver.inside import Board, new_board

_log = structlog.get_logger(__name__)

STOP_SECONDS = 45.0
"""More than a receiver's grace for a C-STORE that has begun, less than ours."""


def main(config: Config) -> int:
    """Keep ``receiver.processes`` receivers running until asked to stop."""
    receiver = config.receiver
    children: list[Child] = []
    passing_on = _PassingOn(config.node.data_dir, children)
    with (
        role("receive", config, passing_on.asked.set) as stop,
        _reserved_ports(config) as (port, tls_port),
    ):
        board = new_board(receiver.processes, receiver.max_associations)
        children += (
            _child(config, board, Share(process, board.descriptor, port, tls_port))
            for process in range(receiver.processes)
        )
        _log.info("receivers.starting", n_processes=receiver.processes, port=port)
        try:
            watch(children, stop, passing_on.turn)
        finally:
            stop_all(children, STOP_SECONDS)
    return 0


class _PassingOn:
    """Lets each receiver read the configuration again, and says when all have."""

    def __init__(self, folder: Path, children: Sequence[Child]) -> None:
        self.asked = Event()
        self._folder = folder
        self._children = children
        self._waits_for: list[int] | None = None

    def turn(self) -> None:
        """Ask them if somebody has asked us; look whether they have taken it."""
        if self.asked.is_set():
            self.asked.clear()
            found = [one.ask_to_reload() for one in self._children]
            self._waits_for = [pid for pid in found if pid is not None]
        if self._waits_for is None:
            return
        if all(lock.has_taken(self._folder, one) for one in self._waits_for):
            self._waits_for = None
            lock.took(self._folder)


def _child(config: Config, board: Board, share: Share) -> Child:
    argv = [sys.executable, "-m", "dicomnode", "receive"]
    if config.file is not None:
        argv += ["--config", str(config.file)]
    own = {SUPERVISOR_PID: str(os.getpid()), **share.environ()}
    environ = {**service.child_environ("receive"), **own}
    command = Command("receive", argv, environ, (board.descriptor,))
    return Child(command, monotonic, partial(board.wipe, share.process))


@contextmanager
def _reserved_ports(config: Config) -> Iterator[tuple[int, int]]:
    """The port in the clear and the one with TLS; 0 for one that is not opened."""
    receiver, tls = config.receiver, config.receiver.tls
    with ExitStack() as held:
        port = tls_port = 0
        if not (tls.enabled and tls.required):
            port = held.enter_context(reserved(receiver.host, receiver.port))
        if tls.enabled:
            where = receiver.host, tls.port, "receiver.tls"
            tls_port = held.enter_context(reserved(*where))
        yield port, tls_port


@contextmanager
def reserved(host: str, port: int, key: str = "receiver") -> Iterator[int]:
    """Hold a port that nobody else has for receivers that share it; its number.

    ``key``: the table of the configuration that names it.

    Raises ConfigError: with SO_REUSEPORT alone, two nodes could share a port unawares.
    """
    if not hasattr(socket, "SO_REUSEPORT"):
        raise ConfigError(
            "this system cannot share a port among processes; set receiver.processes "
            "to 1"
        )
    try:
        with _bound(host, port, shares=False) as probe:
            port = int(probe.getsockname()[1])
        # Bound but not listening: the number stays ours, connections go to the others.
        holder = _bound(host, port, shares=True)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port} ({error.strerror}); stop the program that "
            f"uses the port, or set receiver.host or {key}.port"
        ) from error
    with holder:
        yield port


def _bound(host: str, port: int, *, shares: bool) -> socket.socket:
    family, kind, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made
