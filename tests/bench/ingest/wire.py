"""The bytes of the upper layer (PS3.8 9.3), for sender and sink in plain Python.

They stand in where no C compiler is; a little slower, the same on the wire.
"""

from __future__ import annotations

import socket
import struct

CONTEXT_ID = 1
A_ASSOCIATE_RQ, A_ASSOCIATE_AC, P_DATA_TF, A_RELEASE_RQ, A_RELEASE_RP = 1, 2, 4, 5, 6
ANNOUNCED_BYTES = 1 << 18
_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
_TITLES_BYTES = 68


def pdu(kind: int, body: bytes) -> bytes:
    """A PDU of one type."""
    return struct.pack(">BBI", kind, 0, len(body)) + body


def item(kind: int, value: bytes) -> bytes:
    """An item of an A-ASSOCIATE PDU."""
    return struct.pack(">BBH", kind, 0, len(value)) + value


def items(body: bytes) -> list[tuple[int, bytes]]:
    """(type, value) of each item of ``body``."""
    found, at = [], 0
    while at + 4 <= len(body):
        kind, _, length = struct.unpack_from(">BBH", body, at)
        found.append((kind, body[at + 4 : at + 4 + length]))
        at += 4 + length
    return found


def received(connection: socket.socket) -> tuple[int, bytes]:
    """(type, body) of the next PDU; type 0 when the peer is gone."""
    head = exactly(connection, 6)
    if not head:
        return 0, b""
    kind, _, length = struct.unpack(">BBI", head)
    return kind, exactly(connection, length)


def exactly(connection: socket.socket, n_bytes: int) -> bytes:
    """That many bytes, or none when the peer is gone."""
    buffer = bytearray(n_bytes)
    view, at = memoryview(buffer), 0
    while at < n_bytes:
        n_read = connection.recv_into(view[at:])
        if not n_read:
            return b""
        at += n_read
    return bytes(buffer)


def request(called: str, calling: str, sop_class: str, syntax: str) -> bytes:
    """A-ASSOCIATE-RQ with one presentation context."""
    titles = f"{called:<16}{calling:<16}".encode()
    context = bytes([CONTEXT_ID, 0, 0, 0])
    context += item(0x30, sop_class.encode()) + item(0x40, syntax.encode())
    body = struct.pack(">HH", 1, 0) + titles + bytes(32)
    body += item(0x10, _APPLICATION_CONTEXT) + item(0x20, context)
    return pdu(A_ASSOCIATE_RQ, body + user_information(b"2.25.1000000000001"))


def acceptance(body: bytes) -> bytes:
    """A-ASSOCIATE-AC that takes every context with its first transfer syntax."""
    answer = body[:_TITLES_BYTES] + item(0x10, _APPLICATION_CONTEXT)
    for kind, value in items(body[_TITLES_BYTES:]):
        if kind == 0x20:
            syntaxes = [one for inner, one in items(value[4:]) if inner == 0x40]
            context = bytes([value[0], 0, 0, 0]) + item(0x40, syntaxes[0])
            answer += item(0x21, context)
    return pdu(A_ASSOCIATE_AC, answer + user_information(b"2.25.1000000000002"))


def user_information(implementation: bytes) -> bytes:
    """What we announce: the maximum length, and a class UID of nobody."""
    length = struct.pack(">I", ANNOUNCED_BYTES)
    return item(0x50, item(0x51, length) + item(0x52, implementation))


def largest_pdu(body: bytes) -> int:
    """The maximum length in an A-ASSOCIATE-AC; raises OSError without a context."""
    largest = 0
    for kind, value in items(body[_TITLES_BYTES:]):
        if kind == 0x21 and value[2]:
            raise OSError("the presentation context was rejected")
        if kind == 0x50:
            [announced] = [one for inner, one in items(value) if inner == 0x51]
            largest = int.from_bytes(announced, "big")
    return largest or ANNOUNCED_BYTES


def element(number: int, value: bytes) -> bytes:
    """An element of group 0000: implicit VR little endian (PS3.7 6.3.1)."""
    padded = value + bytes(len(value) % 2)
    return struct.pack("<HHI", 0, number, len(padded)) + padded


def elements(command: bytes) -> dict[int, bytes]:
    """Element number -> value of a command set."""
    found, at = {}, 0
    while at + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHI", command, at)
        found[number] = command[at + 8 : at + 8 + length]
        at += 8 + length
    return found


def command_pdu(parts: dict[int, bytes]) -> bytes:
    """P-DATA-TF with a whole command set."""
    body = b"".join(element(number, value) for number, value in sorted(parts.items()))
    body = element(0x0000, struct.pack("<I", len(body))) + body
    value = struct.pack(">IBB", len(body) + 2, CONTEXT_ID, 3) + body
    return pdu(P_DATA_TF, value)
