"""Peers without a toolkit: PDUs as bytes on a socket."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

HANG_SECONDS = 300
"""A hung test must end; nothing is asserted about speed."""

A_ABORT, A_ASSOCIATE_AC, A_ASSOCIATE_RJ = 0x07, 0x02, 0x03
VERIFICATION = "1.2.840.10008.1.1"


def header(kind: int, length: int) -> bytes:
    """The six bytes that begin a PDU (PS3.8 9.3.1)."""
    return struct.pack(">BBI", kind, 0, length)


def request(
    calling: str = "MODALITY",
    called: str = "DICOMNODE",
    abstract_syntaxes: Iterable[str] = (VERIFICATION,),
) -> bytes:
    """An A-ASSOCIATE-RQ."""
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, called
    contexts = [build_context(uid) for uid in abstract_syntaxes]
    for number, context in enumerate(contexts):
        context.context_id = 2 * number + 1
    primitive.presentation_context_definition_list = contexts
    maximum, implementation = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
    )
    maximum.maximum_length_received = 16382
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [maximum, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection from ``source``, an address of the loopback."""
    return socket.create_connection(
        ("127.0.0.1", port), timeout=HANG_SECONDS, source_address=(source, 0)
    )


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    try:
        while part := connection.recv(4096):
            found += part
    except ConnectionResetError:
        pass
    return found


def answer(connection: socket.socket) -> bytes:
    """One PDU."""
    head = _exactly(connection, 6)
    return head + _exactly(connection, struct.unpack(">BBI", head)[2])


def rejection(pdu: bytes) -> tuple[int, int, int]:
    """Result, source and diagnostic of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
    assert pdu[0] == A_ASSOCIATE_RJ, pdu.hex()
    return pdu[7], pdu[8], pdu[9]


def _exactly(connection: socket.socket, n_bytes: int) -> bytes:
    found = b""
    while len(found) < n_bytes:
        part = connection.recv(n_bytes - len(found))
        assert part, f"closed after {found.hex()}"
        found += part
    return found
