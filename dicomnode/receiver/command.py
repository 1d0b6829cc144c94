"""The C-STORE-RQ and C-STORE-RSP command sets as bytes (PS3.7 9.3.1 and Annex E).

Only the plain request that every modality sends is read here. Anything else is None,
and is for the library to read, to answer or to abort.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

_AFFECTED_SOP_CLASS_UID = 0x0002
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_MESSAGE_ID_BEING_RESPONDED_TO = 0x0120
_PRIORITY = 0x0700
_COMMAND_DATA_SET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE_UID = 0x1000
_MOVE_ORIGINATOR = (0x1030, 0x1031)

_C_STORE_RQ, _C_STORE_RSP = 0x0001, 0x8001
_NO_DATA_SET = 0x0101
# PS3.5 9.1; leading zeros are wrong but common.
_IS_UID = re.compile(rb"(?=.{1,64}\Z)[0-9]+(?:\.[0-9]+)*")
_KNOWN = {
    0x0000,
    _AFFECTED_SOP_CLASS_UID,
    _COMMAND_FIELD,
    _MESSAGE_ID,
    _PRIORITY,
    _COMMAND_DATA_SET_TYPE,
    _AFFECTED_SOP_INSTANCE_UID,
    *_MOVE_ORIGINATOR,
}
# PS3.7 6.3.1: Implicit VR Little Endian.
_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<H")
_P_DATA_TF, _LAST_COMMAND_FRAGMENT = 0x04, 0x03


@dataclass(frozen=True, slots=True)
class StoreCommand:
    """A C-STORE-RQ with a data set to follow."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str


def parse(command_set: bytes) -> StoreCommand | None:
    """The request, or None for any other command and for an unusual one."""
    values = _values(command_set)
    try:
        command_field, message_id, data_set_type = (
            _US.unpack(values[number])[0]
            for number in (_COMMAND_FIELD, _MESSAGE_ID, _COMMAND_DATA_SET_TYPE)
        )
        _US.unpack(values[_PRIORITY])
        sop_class_uid = _uid(values[_AFFECTED_SOP_CLASS_UID])
        sop_instance_uid = _uid(values[_AFFECTED_SOP_INSTANCE_UID])
    except (KeyError, struct.error):
        return None
    if command_field != _C_STORE_RQ or data_set_type == _NO_DATA_SET:
        return None
    if not (sop_class_uid and sop_instance_uid):
        return None
    return StoreCommand(message_id, sop_class_uid, sop_instance_uid)


def response(
    command: StoreCommand, context_id: int, status: int, comment: str = ""
) -> bytes:
    """A whole P-DATA-TF PDU with the C-STORE-RSP (PS3.7 9.3.1.2, PS3.8 9.3.5).

    ``comment``: at most 64 characters of ASCII, for a status that is not Success.
    """
    elements = [
        _element(_AFFECTED_SOP_CLASS_UID, _padded(command.sop_class_uid, b"\0")),
        _element(_COMMAND_FIELD, _US.pack(_C_STORE_RSP)),
        _element(_MESSAGE_ID_BEING_RESPONDED_TO, _US.pack(command.message_id)),
        _element(_COMMAND_DATA_SET_TYPE, _US.pack(_NO_DATA_SET)),
        _element(_STATUS, _US.pack(status)),
        _element(_AFFECTED_SOP_INSTANCE_UID, _padded(command.sop_instance_uid, b"\0")),
    ]
    if comment:
        elements.insert(5, _element(_ERROR_COMMENT, _padded(comment, b" ")))
    body = b"".join(elements)
    command_set = _element(0x0000, struct.pack("<I", len(body))) + body
    return _p_data_tf(context_id, command_set)


def _p_data_tf(context_id: int, command_set: bytes) -> bytes:
    n_bytes = len(command_set)
    return (
        struct.pack(
            ">BxIIBB",
            _P_DATA_TF,
            n_bytes + 6,
            n_bytes + 2,
            context_id,
            _LAST_COMMAND_FRAGMENT,
        )
        + command_set
    )


def _values(command_set: bytes) -> dict[int, bytes]:
    """Element number -> value; empty for what is not plainly a command set."""
    values: dict[int, bytes] = {}
    position, ends = 0, len(command_set)
    while position + _ELEMENT.size <= ends:
        group, number, length = _ELEMENT.unpack_from(command_set, position)
        position += _ELEMENT.size
        if group or number not in _KNOWN or number in values:
            return {}
        values[number] = command_set[position : position + length]
        position += length
    return values if position == ends else {}


def _uid(value: bytes) -> str:
    # PS3.5 9.1 pads with one NUL; spaces are a common mistake.
    trimmed = value.rstrip(b" \0")
    return trimmed.decode() if _IS_UID.fullmatch(trimmed) else ""


def _element(number: int, value: bytes) -> bytes:
    return _ELEMENT.pack(0x0000, number, len(value)) + value


def _padded(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii")
    return value + padding if len(value) % 2 else value
