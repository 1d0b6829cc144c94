"""A mail server and a web server for alerts, on the loopback."""

from __future__ import annotations

import base64
import email
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from typing import Any

USER, PASSWORD = "node", "hunter2-planted"


@dataclass
class MailBox:
    """What the mail server was given: mails, and how their connection was protected."""

    port: int = 0
    context: ssl.SSLContext | None = None
    from_the_start: bool = False
    refuses: bool = False
    mails: Queue[EmailMessage] = field(default_factory=Queue)
    encrypted: list[bool] = field(default_factory=list)
    signed_in: list[str] = field(default_factory=list)


class _Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321, 3207 and 4954 as a client of ours needs."""

    server: Any

    def handle(self) -> None:
        self.box: MailBox = self.server.box
        self.encrypted = self.box.from_the_start
        if self.encrypted:
            self._encrypt()
        self._say("220 mail.test ESMTP")
        while line := self.rfile.readline():
            word = line.split()[0].upper().decode()
            if not getattr(self, f"on_{word.lower()}", self.on_other)(line):
                break

    def finish(self) -> None:
        super().finish()
        self.connection.close()

    def _say(self, text: str) -> bool:
        self.wfile.write(f"{text}\r\n".encode())
        return True

    def _encrypt(self) -> None:
        assert self.box.context is not None
        self.connection = self.box.context.wrap_socket(self.request, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)

    def on_ehlo(self, _line: bytes) -> bool:
        offers = ["mail.test"]
        if self.encrypted:
            offers.append("AUTH PLAIN")
        elif self.box.context:
            offers.append("STARTTLS")
        for one in offers[:-1]:
            self._say(f"250-{one}")
        return self._say(f"250 {offers[-1]}")

    def on_starttls(self, _line: bytes) -> bool:
        self._say("220 go ahead")
        self._encrypt()
        self.encrypted = True
        return True

    def on_auth(self, line: bytes) -> bool:
        _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
        if (user, password) != (USER, PASSWORD):
            return self._say("535 no such account")
        self.box.signed_in.append(user)
        return self._say("235 welcome")

    def on_data(self, _line: bytes) -> bool:
        self._say("354 end with a dot")
        lines = list(iter(self.rfile.readline, b".\r\n"))
        mail = email.message_from_bytes(b"".join(lines), policy=default)
        self.box.encrypted.append(self.encrypted)
        self.box.mails.put(mail)
        return self._say("250 taken")

    def on_rcpt(self, _line: bytes) -> bool:
        return self._say("550 nobody here" if self.box.refuses else "250 fine")

    def on_quit(self, _line: bytes) -> bool:
        self._say("221 bye")
        return False

    def on_other(self, _line: bytes) -> bool:
        return self._say("250 fine")


class _MailServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    box: MailBox

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that breaks off is part of the tests."""


@contextmanager
def mail_server(
    context: ssl.SSLContext | None = None, *, from_the_start: bool = False
) -> Iterator[MailBox]:
    with _MailServer(("127.0.0.1", 0), _Smtp) as server:
        server.box = MailBox(server.server_address[1], context, from_the_start)
        with _served(server):
            yield server.box


@dataclass
class Posts:
    """What the web server was posted: headers and bodies; ``status`` is its answer."""

    port: int = 0
    status: int = 204
    bodies: Queue[tuple[dict[str, str], bytes]] = field(default_factory=Queue)

    def take(self, seconds: float = 300) -> dict[str, Any]:
        _, body = self.bodies.get(timeout=seconds)
        return dict(json.loads(body))


class _Http(BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        posts: Posts = self.server.posts
        posts.bodies.put(({**dict(self.headers), ":path": self.path}, body))
        self.send_response(posts.status)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """In silence."""


@contextmanager
def web_server(context: ssl.SSLContext | None = None) -> Iterator[Posts]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Http) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        server.posts = Posts(server.server_address[1])  # type: ignore[attr-defined]
        with _served(server):
            yield server.posts  # type: ignore[attr-defined]


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
