"""The fragments of a data set, sliced where they lie (PS3.8 9.3.5 and Annex E)."""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from enum import Enum

from dicomnode.receiver.sockets import HEADER_BYTES, GuardedSocket

_PDU_HEADER = struct.Struct(">BxI")
_PDV_HEADER = struct.Struct(">IBB")
_P_DATA_TF = 0x04
_COMMAND, _LAST = 0x01, 0x02
_HEADS_BYTES = HEADER_BYTES + _PDV_HEADER.size
_LONGEST_COMMAND_BYTES = 4096
_MOST_SLICES = 256
_AROUND_DATA = 2
"""Context id and message control header, which the length of a PDV counts."""


class Flow(Enum):
    """How a data set goes on."""

    MORE = "more is to come"
    COMPLETE = "its last fragment has come"
    ODD = "the next fragment is not of this data set"
    OTHER_PDU = "the next PDU is no P-DATA-TF, or too long"
    IDLE = "nothing comes between two PDUs"
    LOST = "the connection has ended, or a PDU was not finished in time"


@dataclass(frozen=True, slots=True)
class CommandPdu:
    """The start of a message: a whole command set in the first fragment of a PDU."""

    context_id: int
    command_set: bytes
    left_in_pdu: int


def command_pdu(connection: GuardedSocket) -> CommandPdu | None:
    """What comes next; it stays in the buffer. None for anything else.

    Waits for the rest of a command that has begun. Raises OSError.
    """
    ends_at = time.monotonic() + connection.deadline_seconds
    while connection.n_buffered < (n_wanted := _n_wanted(connection)):
        if not connection.fill(ends_at):
            return None
    if not n_wanted:
        return None
    pdu_bytes, pdv_bytes, context_id, _ = _heads(connection)
    command_set = bytes(connection.peek(n_wanted)[_HEADS_BYTES:])
    return CommandPdu(context_id, command_set, pdu_bytes - pdv_bytes - 4)


def _n_wanted(connection: GuardedSocket) -> int:
    """Bytes up to the end of the command set; 0 if it is none, whatever comes."""
    if connection.n_buffered < HEADER_BYTES:
        return HEADER_BYTES
    pdu_type, pdu_bytes = _PDU_HEADER.unpack(connection.peek(HEADER_BYTES))
    if pdu_type != _P_DATA_TF or pdu_bytes > connection.limit_bytes:
        return 0
    if connection.n_buffered < _HEADS_BYTES:
        return _HEADS_BYTES if pdu_bytes >= _PDV_HEADER.size else 0
    _, pdv_bytes, _, control = _heads(connection)
    is_whole = control & (_COMMAND | _LAST) == _COMMAND | _LAST
    fits = _AROUND_DATA < pdv_bytes <= min(pdu_bytes - 4, _LONGEST_COMMAND_BYTES)
    return HEADER_BYTES + 4 + pdv_bytes if is_whole and fits else 0


def _heads(connection: GuardedSocket) -> tuple[int, int, int, int]:
    """Length of the PDU, length of its first PDV, context id, control header."""
    both = connection.peek(_HEADS_BYTES)
    _, pdu_bytes = _PDU_HEADER.unpack_from(both)
    pdv_bytes, context_id, control = _PDV_HEADER.unpack_from(both, HEADER_BYTES)
    return pdu_bytes, pdv_bytes, context_id, control


class Fragments:
    """The fragments that follow a command in presentation context ``context_id``.

    ``left_in_pdu``: bytes behind the command in its own PDU.
    """

    def __init__(
        self, connection: GuardedSocket, context_id: int, left_in_pdu: int
    ) -> None:
        self._connection = connection
        self._context_id = context_id
        self._left_in_pdu = left_in_pdu
        self._left_in_pdv = 0
        self._is_last = False
        self._ends_at = time.monotonic() + connection.deadline_seconds
        self.flow = Flow.MORE

    @property
    def left_in_pdu(self) -> int:
        """Bytes of the current PDU that have not been taken."""
        return self._left_in_pdu

    def taken(self) -> list[memoryview]:
        """Slices of what is buffered, valid until ``await_more``."""
        slices: list[memoryview] = []
        while self.flow is Flow.MORE and len(slices) < _MOST_SLICES:
            if not self._left_in_pdv and not self._begins_pdv():
                break
            n_bytes = min(self._left_in_pdv, self._connection.n_buffered)
            if n_bytes:
                slices.append(self._connection.take(n_bytes))
            elif self._left_in_pdv:
                break
            self._count(n_bytes)
        return slices

    def await_more(self) -> None:
        """Until something is to be taken; else ``flow`` says why not."""
        between = not self._left_in_pdu and not self._connection.n_buffered
        if between:
            self._ends_at = time.monotonic() + self._connection.deadline_seconds
        try:
            if not self._connection.fill(self._ends_at):
                self.flow = Flow.LOST
        except OSError:
            self.flow = Flow.IDLE if between else Flow.LOST

    def _count(self, n_bytes: int) -> None:
        self._left_in_pdv -= n_bytes
        self._left_in_pdu -= n_bytes
        if not self._left_in_pdv and self._is_last:
            self.flow = Flow.COMPLETE

    def _begins_pdv(self) -> bool:
        """Go behind the header of the next PDV; False: not there yet, or odd."""
        if not self._left_in_pdu and not self._begins_pdu():
            return False
        connection = self._connection
        if self._left_in_pdu < _PDV_HEADER.size:
            self.flow = Flow.ODD
            return False
        if connection.n_buffered < _PDV_HEADER.size:
            return False
        head = connection.peek(_PDV_HEADER.size)
        n_bytes, context_id, control = _PDV_HEADER.unpack(head)
        if (
            context_id != self._context_id
            or control & _COMMAND
            or not _AROUND_DATA <= n_bytes <= self._left_in_pdu - 4
        ):
            self.flow = Flow.ODD
            return False
        connection.take(_PDV_HEADER.size)
        self._left_in_pdu -= _PDV_HEADER.size
        self._left_in_pdv = n_bytes - _AROUND_DATA
        self._is_last = bool(control & _LAST)
        return True

    def _begins_pdu(self) -> bool:
        connection = self._connection
        if connection.n_buffered < HEADER_BYTES:
            return False
        pdu_type, n_bytes = _PDU_HEADER.unpack(connection.peek(HEADER_BYTES))
        if pdu_type != _P_DATA_TF or n_bytes > connection.limit_bytes:
            self.flow = Flow.OTHER_PDU
            return False
        if not n_bytes:
            self.flow = Flow.ODD
            return False
        connection.take(HEADER_BYTES)
        self._left_in_pdu = n_bytes
        self._ends_at = time.monotonic() + connection.deadline_seconds
        return True
