"""A sender that writes its PDUs byte by byte, so that it can do what is not allowed."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

HANG_SECONDS = 120
CT, MR, VERIFICATION = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.1.1",
)
APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
RELEASE = bytes.fromhex("0500 00000004 00000000".replace(" ", ""))
RELEASED = bytes.fromhex("0600 00000004 00000000".replace(" ", ""))
ABORT = bytes.fromhex("0700 00000004 00000000".replace(" ", ""))

Contexts = Sequence[tuple[int, str, str]]
"""Presentation context id, abstract syntax, transfer syntax."""
CONTEXTS: Contexts = ((1, CT, EXPLICIT), (3, MR, EXPLICIT), (5, VERIFICATION, EXPLICIT))


def item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def associate_rq(
    contexts: Contexts = CONTEXTS,
    application_context: str = APPLICATION_CONTEXT,
    version: int = 1,
    calling: str = "MODALITY",
) -> bytes:
    """PS3.8 9.3.2."""
    titles = b"DICOMNODE".ljust(16) + calling.encode().ljust(16)
    body = struct.pack(">Hxx", version) + titles + bytes(32)
    body += item(0x10, application_context.encode())
    for number, abstract, transfer in contexts:
        syntaxes = item(0x30, abstract.encode()) + item(0x40, transfer.encode())
        body += item(0x20, bytes([number, 0, 0, 0]) + syntaxes)
    user = item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4")
    body += item(0x50, user)
    return struct.pack(">BxI", 1, len(body)) + body


def element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, number, len(value)) + value


def us(value: int) -> bytes:
    return struct.pack("<H", value)


def uid(text: str) -> bytes:
    return text.encode() + b"\0" * (len(text) % 2)


def command(*elements: bytes) -> bytes:
    """With the group length before them."""
    body = b"".join(elements)
    return element(0, struct.pack("<I", len(body))) + body


def store_rq(
    instance: str = "1.2.3.4.5.6", sop_class: str = CT, message_id: int = 1
) -> bytes:
    return command(
        element(0x0002, uid(sop_class)),
        element(0x0100, us(1)),
        element(0x0110, us(message_id)),
        element(0x0700, us(2)),
        element(0x0800, us(1)),
        element(0x1000, uid(instance)),
    )


def echo_rq(message_id: int = 9) -> bytes:
    return command(
        element(0x0002, uid(VERIFICATION)),
        element(0x0100, us(0x30)),
        element(0x0110, us(message_id)),
        element(0x0800, us(0x0101)),
    )


def pdv(context_id: int, control: int, value: bytes) -> bytes:
    """PS3.8 9.3.5.1: bit 0 of ``control`` says command, bit 1 last."""
    return struct.pack(">IBB", len(value) + 2, context_id, control) + value


def pdu(*pdvs: bytes) -> bytes:
    """A P-DATA-TF."""
    body = b"".join(pdvs)
    return struct.pack(">BxI", 4, len(body)) + body


def store(
    data_set: bytes,
    rq: bytes | None = None,
    fragment_bytes: int = 16000,
    context_id: int = 1,
) -> bytes:
    """The plain case: a command PDU, then a PDU for each fragment."""
    fragments = list(cut(data_set, fragment_bytes))
    sent = pdu(pdv(context_id, 3, rq or store_rq()))
    for fragment in fragments[:-1]:
        sent += pdu(pdv(context_id, 0, fragment))
    return sent + pdu(pdv(context_id, 2, fragments[-1]))


def cut(data_set: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data_set), size):
        yield data_set[start : start + size]


class Wire:
    """An established association of which every byte is ours."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.settimeout(HANG_SECONDS)

    def send(self, *parts: bytes) -> None:
        """May be refused in the middle: the peer may have aborted."""
        try:
            for part in parts:
                self._connection.sendall(part)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def shut(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._connection.close()

    def pdus(self, most: int = 1000) -> Iterator[bytes]:
        """Those that come, up to the end of the connection."""
        for _ in range(most):
            head = self._exactly(6)
            if len(head) < 6:
                return
            yield head + self._exactly(int.from_bytes(head[2:], "big"))

    def status(self) -> int:
        """Of the next response."""
        (answer,) = self.pdus(1)
        return status(answer)

    def _exactly(self, n_bytes: int) -> bytes:
        found = b""
        while len(found) < n_bytes:
            try:
                part = self._connection.recv(n_bytes - len(found))
            except ConnectionResetError:
                break
            if not part:
                break
            found += part
        return found


def status(answer: bytes) -> int:
    """(0000,0900) of a response in one PDU."""
    assert answer[0] == 4, answer.hex()
    position = answer.index(struct.pack("<HHI", 0, 0x0900, 2)) + 8
    return int.from_bytes(answer[position : position + 2], "little")


@contextmanager
def connected(port: int) -> Iterator[Wire]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        yield Wire(connection)


@contextmanager
def associated_wire(port: int, contexts: Contexts = CONTEXTS) -> Iterator[Wire]:
    with connected(port) as wire:
        wire.send(associate_rq(contexts))
        (answer,) = wire.pdus(1)
        assert answer[0] == 2, answer.hex()
        yield wire


def slowly(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Each in pieces, which a socket without Nagle's algorithm sends one by one."""
    for part in parts:
        yield from cut(part, size)
