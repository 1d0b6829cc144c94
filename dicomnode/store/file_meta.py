"""The preamble and file meta that we put before a data set (PS3.10 7.1)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final

from dicomnode.domain.instance import InstanceKey
from dicomnode.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

_PREAMBLE = bytes(128) + b"DICM"
_GROUP_LENGTH = struct.Struct("<HH2sHI")
_GROUP_LENGTH_ENDS = len(_PREAMBLE) + _GROUP_LENGTH.size
# The head up to the group length; the data set starts that many bytes after it.
HEAD_BYTES: Final = _GROUP_LENGTH_ENDS


def encode(key: InstanceKey) -> bytes:
    """Preamble, prefix and file meta in Explicit VR Little Endian.

    Written by hand, because it is on the path of every C-STORE and holds six elements.
    """
    before, behind = _around(key.sop_class_uid, key.transfer_syntax_uid)
    elements = before + _element(0x0003, b"UI", key.sop_instance_uid) + behind
    length = _GROUP_LENGTH.pack(0x0002, 0x0000, b"UL", 4, len(elements))
    return _PREAMBLE + length + elements


@lru_cache(maxsize=256)
def _around(sop_class_uid: str, transfer_syntax_uid: str) -> tuple[bytes, bytes]:
    """The elements before and behind the SOP Instance UID: a series has them alike."""
    before = (
        # File Meta Information Version, an OB with its 32-bit length.
        struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01",
        _element(0x0002, b"UI", sop_class_uid),
    )
    behind = (
        _element(0x0010, b"UI", transfer_syntax_uid),
        _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
        _element(0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
    )
    return b"".join(before), b"".join(behind)


def data_set_offset(head: bytes) -> int:
    """Where the data set starts in a file of ours, given its first HEAD_BYTES."""
    return _GROUP_LENGTH_ENDS + int.from_bytes(head[-4:], "little")


def _element(number: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    if len(value) % 2:
        # PS3.5 6.2: UI is padded with NUL, texts with a space.
        value += b"\x00" if vr == b"UI" else b" "
    return struct.pack("<HH2sH", 0x0002, number, vr, len(value)) + value
