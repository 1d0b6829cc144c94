"""TLS on a socket that says when it has no more to send, and then still listens.

`ssl.SSLSocket.unwrap` sends and reads in one, and takes any alert for a proper end. In
TLS 1.3 the refusal of a client's certificate comes as an alert after the client's
handshake (RFC 8446 4.4.2.4), so whatever was sent would seem to be read.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

T = TypeVar("T")

_PIECE = 1 << 14


class HalfClosing:
    """The side of the client, over a connected socket."""

    def __init__(
        self, plain: socket.socket, context: ssl.SSLContext, hostname: str
    ) -> None:
        """Shake hands; raises ssl.SSLError, OSError."""
        self._plain = plain
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._arrived, self._leaving, server_hostname=hostname
        )
        self._done(self._tls.do_handshake)

    def sendall(self, content: bytes) -> None:
        """Send it all; raises OSError."""
        self._done(partial(self._tls.write, content))

    def close(self) -> None:
        """Say that nothing follows, and wait for the other side to end, too.

        Raises ssl.SSLError for an alert, OSError when the connection breaks.
        """
        # It wants to read, of which there is nothing yet: close_notify is written.
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        try:
            self._flush()
        except ConnectionError:
            # A peer that has gone may have said why before; if not, this is the reason.
            self._read_to_end()
            raise
        self._read_to_end()

    def _read_to_end(self) -> None:
        # The end of the stream without close_notify is an end too: the system of a
        # peer that leaves anything unread says "reset" instead.
        with suppress(ssl.SSLEOFError, ssl.SSLZeroReturnError):
            while self._done(partial(self._tls.read, _PIECE)):
                pass

    def _done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                found = step()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
                continue
            except ssl.SSLError:
                with suppress(OSError):
                    self._flush()  # the alert that says why
                raise
            self._flush()
            return found

    def _flush(self) -> None:
        if self._leaving.pending:
            self._plain.sendall(self._leaving.read())

    def _fill(self) -> None:
        piece = self._plain.recv(_PIECE)
        if piece:
            self._arrived.write(piece)
        else:
            self._arrived.write_eof()
