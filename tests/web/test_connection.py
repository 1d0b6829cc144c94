"""Browsers that send nothing, or read nothing, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
import uvicorn

from dicomnode.web.connection import patient_for

HANG_SECONDS = 60
LARGE = b"x" * 32_000_000


async def answering(scope, receive, send):
    """A page far larger than the buffers of the kernel, once all is asked."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-length", str(len(LARGE)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": LARGE})


@pytest.fixture
def port() -> Iterator[int]:
    with serving(0.2) as number:
        yield number


@contextmanager
def serving(seconds: float) -> Iterator[int]:
    config = uvicorn.Config(
        answering,
        host="127.0.0.1",
        port=0,
        lifespan="off",
        http=patient_for(seconds),
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            threading.Event().wait(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def asking(port: int, text: bytes) -> socket.socket:
    made = socket.socket()
    made.settimeout(HANG_SECONDS)
    made.connect(("127.0.0.1", port))
    with suppress(ConnectionError):  # on a busy machine we may be late ourselves
        made.sendall(text)
    return made


def rest(connection: socket.socket) -> bytes:
    """All that still comes, until the other end lets go."""
    came = bytearray()
    with suppress(ConnectionError):
        while part := connection.recv(1 << 20):
            came += part
    return bytes(came)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: node\r\n",
        b"POST / HTTP/1.1\r\nHost: node\r\nContent-Length: 9\r\n\r\nhalf",
    ],
)
def test_who_does_not_finish_a_request_is_let_go(port, text):
    with asking(port, text) as connection:
        assert len(rest(connection)) < len(LARGE)


def test_who_takes_an_answer_byte_by_byte_is_let_go(port):
    pause = threading.Event()
    with asking(port, b"GET / HTTP/1.1\r\nHost: node\r\n\r\n") as connection:
        own = connection.getsockname()[1]
        while established(port, own):
            with suppress(ConnectionError):
                connection.recv(1)
            pause.wait(0.1)
        assert len(rest(connection)) < len(LARGE)


def established(port: int, other: int) -> bool:
    """Whether the end of the node still holds the connection (Linux)."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    wanted = (f":{port:04X}", f":{other:04X}")
    return any(
        row[1].endswith(wanted[0]) and row[2].endswith(wanted[1]) and row[3] == "01"
        for row in rows
    )


def test_who_reads_at_leisure_gets_all_of_it():
    request = b"GET / HTTP/1.0\r\nHost: node\r\n\r\n"
    with serving(HANG_SECONDS) as port, asking(port, request) as connection:
        assert rest(connection).endswith(LARGE)
