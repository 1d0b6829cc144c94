"""The fake scanner at the level of PDUs: it can stop, wait and talk nonsense."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from types import TracebackType
from typing import Self

from pydicom.uid import UID
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from dicomnode.errors import Unreachable
from dicomnode.version import IMPLEMENTATION_CLASS_UID

REJECTED, ACCEPTED, DATA, ABORTED, CLOSED = 0x03, 0x02, 0x04, 0x07, 0x00
"""Types of PDU (PS3.8 9.3.1); CLOSED: the connection ended without one."""

_HEADER = struct.Struct(">BBI")
_ABORT = _HEADER.pack(0x07, 0, 4) + bytes(4)
_TIMEOUT_SECONDS = 60.0
_PDV_BYTES = 16_382


@dataclass(frozen=True, slots=True)
class Address:
    """The node, and as whom it is called."""

    called: str
    host: str
    port: int
    calling: str


@dataclass(frozen=True, slots=True)
class Pdu:
    """One PDU; ``body`` without its six bytes of header."""

    kind: int
    body: bytes = b""

    @property
    def words(self) -> str:
        """What came, for people."""
        if self.kind == REJECTED:
            return f"A-ASSOCIATE-RJ {', '.join(map(str, self.rejection))}"
        names = {ACCEPTED: "A-ASSOCIATE-AC", DATA: "P-DATA-TF", ABORTED: "A-ABORT"}
        return names.get(self.kind, "the connection was closed")

    @property
    def rejection(self) -> tuple[int, int, int]:
        """Result, source and diagnostic (PS3.8 Table 9-21)."""
        return self.body[1], self.body[2], self.body[3]


class Wire:
    """One connection to the node; a context manager."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        at = self._address.host, self._address.port
        try:
            self._socket = socket.create_connection(at, _TIMEOUT_SECONDS)
        except OSError as error:
            words = f"{at[0]}:{at[1]} takes no connection ({error.strerror or error})"
            raise Unreachable(f"{words}; check that the node runs") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._socket is not None:
            self._socket.close()

    def associate(self, abstract_syntax: str, syntaxes: Sequence[str]) -> Pdu:
        """Ask for an association with one presentation context; the answer."""
        self.send(_request(self._address, abstract_syntax, syntaxes))
        return self.answer()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        if self._socket is not None:
            self._socket.sendall(data)

    def abort(self) -> None:
        """Send an A-ABORT (PS3.8 9.3.8)."""
        self.send(_ABORT)

    def answer(self) -> Pdu:
        """The next PDU, or that the connection was closed."""
        try:
            kind, _, length = _HEADER.unpack(self._read(_HEADER.size))
            return Pdu(kind, self._read(length))
        except (EOFError, ConnectionError):
            return Pdu(CLOSED)

    def status(self) -> int | None:
        """The status of the response to a request; None when none came."""
        message = DIMSEMessage()
        while (pdu := self.answer()).kind == DATA:
            received = P_DATA_TF()
            received.decode(_HEADER.pack(DATA, 0, len(pdu.body)) + pdu.body)
            if message.decode_msg(received.to_primitive()):
                return int(getattr(message.message_to_primitive(), "Status", -1))
        return None

    def _read(self, n_bytes: int) -> bytes:
        found = b""
        while self._socket is not None and len(found) < n_bytes:
            part = self._socket.recv(n_bytes - len(found))
            if not part:
                raise EOFError
            found += part
        return found


def context_result(pdu: Pdu) -> int:
    """Result of the one presentation context of an A-ASSOCIATE-AC (Table 9-18)."""
    accepted = A_ASSOCIATE_AC()
    accepted.decode(_HEADER.pack(pdu.kind, 0, len(pdu.body)) + pdu.body)
    (context,) = accepted.to_primitive().presentation_context_definition_results_list
    return int(context.result or 0)


def store_pdus(sop_class: str, sop_instance: str, data_set: bytes) -> list[bytes]:
    """A C-STORE request as its PDUs: the command first, then the data set."""
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = UID(sop_class)
    request.AffectedSOPInstanceUID = UID(sop_instance)
    request.DataSet = BytesIO(data_set)
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    return list(_encoded(message))


def overlong(most_bytes: int) -> bytes:
    """The header of a P-DATA-TF that is longer than ``most_bytes``."""
    return _HEADER.pack(DATA, 0, most_bytes + 1)


def _encoded(message: C_STORE_RQ) -> Iterator[bytes]:
    for primitive in message.encode_msg(1, _PDV_BYTES):
        pdu = P_DATA_TF()
        pdu.from_primitive(primitive)
        yield bytes(pdu.encode())


def _request(address: Address, abstract_syntax: str, syntaxes: Sequence[str]) -> bytes:
    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = address.calling, address.called
    context = build_context(abstract_syntax, list(syntaxes))
    context.context_id = 1
    asked.presentation_context_definition_list = [context]
    length, implementation = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
    )
    length.maximum_length_received = _PDV_BYTES
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    asked.user_information = [length, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(asked)
    return bytes(pdu.encode())
