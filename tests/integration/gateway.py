"""A gateway before a real DICOMweb service: TLS, credentials, and its faults."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.faults.certificates import Identity

_SECONDS = 60


@dataclass
class Gateway:
    """``demands``: the Authorization to show. ``cut_after_bytes``: of an answer.

    ``status``: what it answers instead. ``page``: the most studies of one answer, 0
    leaves offset to the service behind it, -1 takes it away.
    """

    upstream: str
    demands: str = ""
    cut_after_bytes: int = 0
    status: int = 0
    page: int = 0
    asked: list[str] = field(default_factory=list)

    def path(self, path: str) -> tuple[str, int]:
        """What is asked of the service behind it, and the offset that is not."""
        parts = urlsplit(path)
        query = dict(parse_qsl(parts.query))
        offset = int(query.pop("offset", 0)) if self.page else 0
        return f"{parts.path}?{urlencode(query)}" if query else parts.path, offset

    def cut(self, body: bytes, offset: int) -> bytes:
        """What of an answer is passed on."""
        if self.page > 0 and body.startswith(b"["):
            body = json.dumps(json.loads(body)[offset : offset + self.page]).encode()
        return body[: self.cut_after_bytes or None]

    @contextmanager
    def open(self, identity: Identity | None = None) -> Iterator[str]:
        """Its address; with TLS if it has an identity."""
        handler = type("Bound", (_Handler,), {"gateway": self})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if identity:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(identity.certificate, identity.private_key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            scheme = "https" if identity else "http"
            yield f"{scheme}://127.0.0.1:{server.server_port}/dicom-web"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    gateway: Gateway

    def do_GET(self) -> None:
        gate = self.gateway
        gate.asked.append(self.path)
        if gate.demands and self.headers.get("Authorization") != gate.demands:
            self.send_error(401)
        elif gate.status:
            self.send_error(gate.status)
        else:
            self._pass_on()

    def _pass_on(self) -> None:
        wanted = {"Accept": self.headers.get("Accept", "*/*")}
        path, offset = self.gateway.path(self.path)
        request = urllib.request.Request(self.gateway.upstream + path, headers=wanted)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_SECONDS) as answer:
                self._answer(answer.headers["Content-Type"],
                             self.gateway.cut(answer.read(), offset))  # fmt: skip
        except urllib.error.HTTPError as refusal:
            self.send_error(refusal.code)

    def _answer(self, content_type: str, body: bytes) -> None:
        """Without its length: the end of the connection is the end of the answer."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""
