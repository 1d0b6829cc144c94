"""Syslog: the header of RFC 5424, and the octet counting over TLS of RFC 5425.

Neither has acknowledgements, so a batch counts as sent only when its connection has
been closed from both sides: a peer that closes properly has read all before. A batch of
which we do not know is sent again, so a collector may get a message twice, never not.
"""

from __future__ import annotations

import fcntl
import re
import socket
import ssl
import struct
import termios
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from dicomnode.audit.half_closing import HalfClosing

_NOTICE_OF_SECURITY = 85
"""Facility 10 (security), severity 5 (notice): PS3.15 A.6."""
_MSGID = "DICOM+RFC3881"
_APP_NAME = "dicomnode"
_NIL = "-"
_NOT_PRINTABLE = re.compile(r"[^!-~]")
_HOSTNAME_LENGTH = 255


@dataclass(frozen=True, slots=True)
class Target:
    """A syslog collector; without ``tls`` the messages go in clear.

    ``ca``: PEM of who signed its certificate, None for the authorities of the system.
    ``certificate`` and ``private_key``: PEM files to show it, None for none.
    """

    host: str
    port: int
    tls: bool = True
    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    timeout_seconds: float = 10.0


def line_of(xml: str, at: datetime, host: str, pid: int) -> bytes:
    """A message as one line of RFC 5424, in ASCII: XML writes the rest as references.

    So the text needs no byte order mark (RFC 5424 6.4).
    """
    stamp = at.astimezone(UTC).isoformat(timespec="milliseconds")
    name = _NOT_PRINTABLE.sub("", host)[:_HOSTNAME_LENGTH] or _NIL
    header = (
        f"<{_NOTICE_OF_SECURITY}>1 {stamp.replace('+00:00', 'Z')} {name} "
        f"{_APP_NAME} {pid} {_MSGID} {_NIL} "
    )
    return header.encode("ascii") + xml.encode("ascii", "xmlcharrefreplace")


def send(target: Target, messages: Sequence[bytes]) -> None:
    """Send a batch and see it read; raises OSError (ssl.SSLError is one)."""
    address = (target.host, target.port)
    with socket.create_connection(address, target.timeout_seconds) as plain:
        if not target.tls:
            _send_all(plain, messages)
            plain.shutdown(socket.SHUT_WR)
            _awaited(plain, partial(_read_to_end, plain))
            return
        connection = HalfClosing(plain, _context(target), target.host)
        _send_all(connection, messages)
        _awaited(plain, connection.close)


def _context(target: Target) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=target.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if target.certificate is not None:
        context.load_cert_chain(target.certificate, target.private_key)
    return context


def _send_all(
    connection: socket.socket | HalfClosing, messages: Sequence[bytes]
) -> None:
    for message in messages:
        connection.sendall(b"%d %b" % (len(message), message))  # RFC 5425 4.3


def _read_to_end(connection: socket.socket) -> None:
    while connection.recv(1024):
        pass


def _awaited(connection: socket.socket, end: Callable[[], None]) -> None:
    try:
        end()
    except TimeoutError:
        _require_acknowledged(connection)


def _require_acknowledged(connection: socket.socket) -> None:
    """A peer that never closes: at least its system must have taken every byte."""
    waiting = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    if struct.unpack("i", waiting)[0]:
        raise TimeoutError("the collector took the messages not in time")
