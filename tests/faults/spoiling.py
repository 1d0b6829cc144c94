"""A proxy in front of an object store that spoils chosen requests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HANG_SECONDS = 60
_OWN = {"transfer-encoding", "connection", "content-length"}


@dataclass
class Exchange:
    """One request as it came, and how to have it answered."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    server: int

    def forward(self) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server answers."""
        return _forwarded(self.server, self)


Answer = tuple[int, list[tuple[str, str]], bytes] | None
"""Status, headers and body; None cuts the connection."""

Fault = Callable[[Exchange], Answer]


def failing(status: int, code: str) -> Fault:
    """An error of S3, and nothing is done."""

    def fault(_: Exchange) -> Answer:
        return status, [], f"<Error><Code>{code}</Code></Error>".encode()

    return fault


def failing_after(status: int = 500) -> Fault:
    """All is done, and an error is the answer."""

    def fault(asked: Exchange) -> Answer:
        asked.forward()
        return failing(status, "InternalError")(asked)

    return fault


def cut(_: Exchange) -> Answer:
    """The connection ends before anything is done."""
    return None


def cut_after(asked: Exchange) -> Answer:
    """All is done, and the connection ends before the answer."""
    asked.forward()
    return None


def corrupted(asked: Exchange) -> Answer:
    """One bit of the body is turned on the way."""
    asked.body = bytes([asked.body[0] ^ 1]) + asked.body[1:]
    return asked.forward()


def truncated(asked: Exchange) -> Answer:
    """The first half of the answer comes."""
    status, headers, body = asked.forward()
    return status, [*headers, ("X-Cut", "1")], body


@dataclass
class Held:
    """All is done, and the answer waits until it is let go."""

    stored: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self, asked: Exchange) -> Answer:
        answer = asked.forward()
        self.stored.set()
        self.go_on.wait(HANG_SECONDS)
        return answer


@dataclass
class Spoiler:
    """The proxy: ``faults`` are for the next requests of a method, one for each.

    ``always`` is for all others. ``seen``: method and path of every request.
    """

    server: int
    port: int = 0
    faults: dict[str, deque[Fault]] = field(default_factory=dict)
    always: Fault | None = None
    seen: list[tuple[str, str]] = field(default_factory=list)

    def reset(self) -> None:
        """As it was at the beginning."""
        self.faults.clear()
        self.seen.clear()
        self.always = None

    def spoil(self, method: str, *faults: Fault) -> None:
        """Have the next requests of ``method`` spoilt."""
        self.faults.setdefault(method, deque()).extend(faults)

    def paths(self, method: str) -> list[str]:
        """Of the requests of ``method``, in their order."""
        return [path for one, path in self.seen if one == method]

    def answer(self, asked: Exchange) -> Answer:
        """What the client gets to see."""
        self.seen.append((asked.method, asked.path))
        waiting = self.faults.get(asked.method)
        fault = waiting.popleft() if waiting else self.always
        return fault(asked) if fault else asked.forward()


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that has hung up is what some tests are about."""


@contextmanager
def spoiler(server_port: int) -> Iterator[Spoiler]:
    """One in front of the server on this port."""
    spoiling = Spoiler(server_port)
    http = _Quiet(("127.0.0.1", 0), _handler(spoiling))
    spoiling.port = http.server_address[1]
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield spoiling
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def _handler(spoiling: Spoiler) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = dict(self.headers.items())
            asked = Exchange(self.command, self.path, headers, body, spoiling.server)
            answer = spoiling.answer(asked)
            self.close_connection = True
            if answer is not None:
                self._say(*answer)

        def _say(
            self, status: int, headers: list[tuple[str, str]], body: bytes
        ) -> None:
            is_cut = ("X-Cut", "1") in headers
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            length = dict(headers).get("X-Length", str(len(body)))
            self.send_header("Content-Length", length)
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if is_cut else body)

        def log_message(self, *_: object) -> None: ...

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer  # noqa: N815

    return Handler


def _forwarded(port: int, asked: Exchange) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=HANG_SECONDS)
    headers = {
        name: value
        for name, value in asked.headers.items()
        if name.lower() not in {"expect", "connection"}
    }
    connection.request(asked.method, asked.path, asked.body, headers)
    response: HTTPResponse = connection.getresponse()
    body = response.read()
    found = [(n, v) for n, v in response.getheaders() if n.lower() not in _OWN]
    if asked.method == "HEAD":
        found.append(("X-Length", response.getheader("Content-Length", "0")))
    connection.close()
    return response.status, found, body
