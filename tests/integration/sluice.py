"""A line on which only so much comes back, until it is opened."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import BaseRequestHandler, ThreadingTCPServer

_BLOCK_BYTES = 4096


@dataclass
class Sluice:
    """Leads to ``to``, a port of the loopback; ``n_bytes``: over all connections."""

    to: int
    n_bytes: int
    opened: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[int]:
        """The port where it begins."""
        handler = type("Bound", (_Connection,), {"sluice": self})
        with _Server(("127.0.0.1", 0), handler) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield int(server.server_address[1])
            finally:
                self.opened.set()
                server.shutdown()
                thread.join()

    def pass_on(self, source: socket.socket, target: socket.socket) -> None:
        """What comes back, as far as it may."""
        while block := source.recv(_BLOCK_BYTES):
            self.n_bytes -= len(block)
            if self.n_bytes < 0:
                self.opened.wait()
            target.sendall(block)


class _Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False


class _Connection(BaseRequestHandler):
    sluice: Sluice

    def handle(self) -> None:
        with socket.create_connection(("127.0.0.1", self.sluice.to)) as onward:
            there = threading.Thread(
                target=_copied, args=(self.request, onward), daemon=True
            )
            there.start()
            with suppress(OSError):  # either end may be killed
                self.sluice.pass_on(onward, self.request)


def _copied(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(_BLOCK_BYTES):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
