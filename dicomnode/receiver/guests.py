"""A connection before its association: until its A-ASSOCIATE-RQ is here, or is not.

Nothing of it is read into memory of ours beyond what TLS demands: on a plain connection
the kernel keeps the request until it is whole, and wakes us only then.
"""

from __future__ import annotations

import fcntl
import select
import socket
import ssl
import struct
from collections.abc import Callable
from enum import Enum, auto
from termios import FIONREAD
from typing import Any

from dicomnode.receiver import proxy_protocol
from dicomnode.receiver.listening import neighbourhood

_HEADER_BYTES = 6
# Room for 128 presentation contexts with dozens of transfer syntaxes each.
_MAX_REQUEST_BYTES = 256 * 1024
_RECORD_BYTES = 16 * 1024
_A_ASSOCIATE_RQ, _A_ABORT_RQ = 0x01, 0x07
_TLS_HANDSHAKE = b"\x16\x03"
_HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR

# PS3.8 9.3.8: by the service user (action AA-1 of Table 9-10), and by the provider for
# an invalid PDU parameter value.
_NOT_EXPECTED = bytes.fromhex("07 00 00000004 00 00 00 00")
_OVERLONG = bytes.fromhex("07 00 00000004 00 00 02 06")
# PS3.8 Table 9-21: rejected transient, by the provider, temporary congestion.
CONGESTED = bytes.fromhex("03 00 00000004 00 02 03 01")

RemoteAddress = tuple[Any, ...]


class Wants(Enum):
    """What a guest waits for."""

    READ = auto()
    WRITE = auto()
    TIME = auto()
    NOTHING = auto()
    """Its request is here: it may go on to an association."""


class LeftError(Exception):
    """It closed the connection and has asked for nothing."""


class TurnedAwayError(Exception):
    """It will not get an association; ``answer`` is what to send before the end."""

    def __init__(self, reason: str, remedy: str = "", answer: bytes = b"") -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy
        self.answer = answer


class HeldSSLSocket(ssl.SSLSocket):
    """Gives what was read of the request once more, before what comes after it."""

    held: bytes = b""

    def pending(self) -> int:
        """Bytes that can be read without waiting."""
        return len(self.held) + super().pending()

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Like that of a socket."""
        taken, self.held = self.held[:buflen], self.held[buflen:]
        return taken or super().recv(buflen, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """Like that of a socket."""
        if not self.held:
            return super().recv_into(buffer, nbytes, flags)
        view = memoryview(buffer).cast("B")
        taken = self.recv(min(nbytes or len(view), len(view)))
        view[: len(taken)] = taken
        return len(taken)


class Guest:
    """A connection without TLS; ``ends_at`` on the monotonic clock."""

    is_encrypted = False

    def __init__(
        self, connection: socket.socket, address: RemoteAddress, ends_at: float
    ) -> None:
        self.connection = connection
        self.address = address
        self.ends_at = ends_at
        self.neighbourhood = neighbourhood(str(address[0]))
        self._awaited_bytes = _HEADER_BYTES
        self._is_announced = False
        self._mark_bytes = 0
        connection.setblocking(False)
        # Without it a response of two segments waits 40 ms for an acknowledgement.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def advance(self) -> Wants:
        """Go as far as it goes without waiting.

        Raises LeftError, TurnedAwayError, and OSError for a lost connection.
        """
        n_there = _n_readable(self.connection)
        if n_there < self._awaited_bytes:
            return self._gone_or_waiting(n_there)
        if not self._is_announced:
            self._announce(self.connection.recv(_HEADER_BYTES, socket.MSG_PEEK))
            return self.advance()
        self._wake_at(1)
        return Wants.NOTHING

    def late(self) -> TurnedAwayError | None:
        """Why it must leave now that its time is over; None: it never said a word."""
        if not _n_readable(self.connection):
            return None
        return TurnedAwayError(
            "its A-ASSOCIATE-RQ did not arrive in time",
            "# at the sender: check the network; or here:\n"
            "[receiver]\nrequest_timeout_seconds = 30",
        )

    def _announce(self, header: bytes | bytearray) -> None:
        self._is_announced = True
        self._awaited_bytes += request_bytes(header)

    def _gone_or_waiting(self, n_there: int) -> Wants:
        if _is_hung_up(self.connection):
            raise LeftError
        # A system that does not honour the mark would wake us for every byte.
        is_too_early = n_there and self._mark_bytes == self._awaited_bytes
        self._wake_at(self._awaited_bytes)
        return Wants.TIME if is_too_early else Wants.READ

    def _wake_at(self, n_bytes: int) -> None:
        if self._mark_bytes == n_bytes:
            return
        self._mark_bytes = n_bytes
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, n_bytes)


class PassedOnGuest(Guest):
    """A connection from a balancer, until it has said whose it is.

    ``address`` is then that of who connected to the balancer; ``context`` gives the TLS
    that follows, if any. Anything else than a
    PROXY header is turned away: to guess would let anybody claim an address.
    """

    def __init__(
        self,
        connection: socket.socket,
        address: RemoteAddress,
        ends_at: float,
        context: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        super().__init__(connection, address, ends_at)
        self.context = context
        self._awaited_bytes = proxy_protocol.FIXED_BYTES

    def advance(self) -> Wants:
        """See Guest."""
        n_there = _n_readable(self.connection)
        if n_there < self._awaited_bytes:
            return self._gone_or_waiting(n_there)
        if not self._is_announced:
            fixed = self.connection.recv(proxy_protocol.FIXED_BYTES, socket.MSG_PEEK)
            self._announce(fixed)
            return self.advance()
        header = self.connection.recv(self._awaited_bytes)
        try:
            self.address = proxy_protocol.source(header) or self.address
        except ValueError as error:
            raise _not_passed_on(error) from error
        self._wake_at(1)
        return Wants.NOTHING

    def late(self) -> TurnedAwayError | None:
        """See Guest."""
        silent = ValueError("its PROXY header did not arrive in time")
        return _not_passed_on(silent) if super().late() else None

    def _announce(self, header: bytes | bytearray) -> None:
        self._is_announced = True
        try:
            self._awaited_bytes = proxy_protocol.n_bytes(bytes(header))
        except ValueError as error:
            raise _not_passed_on(error) from error


class EncryptedGuest(Guest):
    """A connection with TLS: first the handshake, without waiting for it either."""

    is_encrypted = True

    def __init__(
        self,
        connection: socket.socket,
        address: RemoteAddress,
        ends_at: float,
        context: ssl.SSLContext,
    ) -> None:
        super().__init__(connection, address, ends_at)
        wrapped = context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        assert isinstance(wrapped, HeldSSLSocket)  # noqa: S101  # for mypy: see tls.py
        self.connection: HeldSSLSocket = wrapped
        self._is_known = False
        self._read = bytearray()

    def advance(self) -> Wants:
        """See Guest; raises TurnedAwayError for a handshake that fails."""
        try:
            self._handshake()
            self._read_on()
        except ssl.SSLWantReadError:
            return Wants.READ
        except ssl.SSLWantWriteError:
            return Wants.WRITE
        self.connection.held = bytes(self._read)
        return Wants.NOTHING

    def late(self) -> TurnedAwayError | None:
        """See Guest."""
        return super().late() if self._is_known or self._read else _slow_handshake()

    def _handshake(self) -> None:
        if self._is_known:
            return
        try:
            self.connection.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLEOFError:
            raise LeftError from None
        except ssl.SSLError as error:
            raise TurnedAwayError(*_of_handshake(error)) from error
        self._is_known = True

    def _read_on(self) -> None:
        while len(self._read) < self._awaited_bytes:
            n_missing = self._awaited_bytes - len(self._read)
            part = self.connection.recv(min(n_missing, _RECORD_BYTES))
            if not part:
                raise LeftError
            self._read += part
            if len(self._read) >= _HEADER_BYTES and not self._is_announced:
                self._announce(self._read)


def request_bytes(header: bytes | bytearray) -> int:
    """The length of the A-ASSOCIATE-RQ that ``header`` announces (PS3.8 9.3.2).

    Raises LeftError for an A-ABORT, TurnedAwayError for anything else.
    """
    kind, length = struct.unpack(">BxI", header)
    if bytes(header).startswith(_TLS_HANDSHAKE):
        reason = "it speaks TLS on the port without TLS"
        remedy = "# at the sender: use the port of receiver.tls, or switch TLS off"
        raise TurnedAwayError(reason, remedy, _NOT_EXPECTED)
    if kind == _A_ABORT_RQ:
        raise LeftError
    if length > _MAX_REQUEST_BYTES and kind <= _A_ABORT_RQ:
        reason = f"a PDU of {length} bytes was announced"
        remedy = f"# at the sender: an association request has {_MAX_REQUEST_BYTES}"
        raise TurnedAwayError(reason, f"{remedy} bytes at most", _OVERLONG)
    if kind != _A_ASSOCIATE_RQ:
        reason = "what it sends is no A-ASSOCIATE-RQ, so it does not speak DICOM here"
        remedy = "# at the sender: this port takes DICOM associations only"
        raise TurnedAwayError(reason, remedy, _NOT_EXPECTED)
    return int(length)


def _not_passed_on(error: ValueError) -> TurnedAwayError:
    return TurnedAwayError(
        f"it should say first for whom it connects, and sent something else: {error}",
        "# at the balancer: send the PROXY protocol, version 2; or here take its\n"
        "# address out of receiver.proxy_protocol_from",
        _NOT_EXPECTED,
    )


def _slow_handshake() -> TurnedAwayError:
    reason = "its TLS handshake was not finished in time"
    return TurnedAwayError(reason, "# at the sender: switch TLS on for this port")


def _of_handshake(error: ssl.SSLError) -> tuple[str, str]:
    reason = f"TLS handshake failed: {error.reason or error.strerror or 'no reason'}"
    words = f"{error.reason} {getattr(error, 'verify_message', '')} {error}".lower()
    remedy = next((text for word, text in _REMEDIES.items() if word in words), "")
    detail = getattr(error, "verify_message", "")
    return f"{reason}, {detail}" if detail else reason, remedy or _OTHER_REMEDY


_OTHER_REMEDY = "# at the sender: use TLS 1.2 or 1.3 with a suite of PS3.15 B.12"
_REMEDIES = {
    "not return a certificate": (
        "# at the sender: give it a certificate; or here, without mutual TLS:\n"
        '[receiver.tls]\nclient_ca = ""'
    ),
    "expired": "# at the sender: renew its certificate, and check the clocks",
    "not yet valid": "# at the sender: check the clocks, here and there",
    "certificate_verify_failed": (
        "# at the sender: use a certificate of our authority; or here add its own to\n"
        "# the file that receiver.tls.client_ca names"
    ),
    "unknown_ca": (
        "# at the sender: add the authority of our receiver.tls.certificate to those\n"
        "# it trusts"
    ),
    "unsupported_protocol": "# at the sender: allow TLS 1.2 or 1.3 (PS3.15 B.12)",
    "protocol_version": "# at the sender: allow TLS 1.2 or 1.3 (PS3.15 B.12)",
    "wrong_version_number": "# at the sender: switch TLS on for this port",
    "http_request": "# at the sender: this port takes DICOM over TLS only",
    "no_shared_cipher": "# at the sender: allow a cipher suite of PS3.15 B.12",
}


def _n_readable(connection: socket.socket) -> int:
    answer = fcntl.ioctl(connection.fileno(), FIONREAD, bytes(4))
    return int.from_bytes(answer, "little")


def _is_hung_up(connection: socket.socket) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), _HUNG_UP)
    return bool(poll.poll(0))
