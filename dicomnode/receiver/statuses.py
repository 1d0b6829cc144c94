"""The DIMSE statuses that this SCP answers with."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """PS3.4 Table B.2-1 and PS3.7 Annex C."""

    SUCCESS = 0x0000
    """On disk, synced and recorded."""

    PROCESSING_FAILURE = 0x0110
    """PS3.7 C.5.12: the worklist or the program failed; the sender may try again."""

    NO_SUCH_INSTANCE = 0x0112
    """PS3.7 C.5.7: an N-ACTION for another instance than the well-known one."""

    INVALID_ARGUMENT = 0x0115
    """PS3.7 C.5.4: storage commitment that cannot be read, or of nothing we asked."""

    NO_SUCH_ACTION = 0x0123
    """PS3.7 C.5.13."""

    NOT_AUTHORISED = 0x0124
    """PS3.7 C.5.14."""

    OUT_OF_RESOURCES = 0xA700
    """PS3.4 B.2.3: disk full, watermark reached, or the disk failed."""

    DATA_SET_DOES_NOT_MATCH = 0xA900
    """PS3.4 B.2.3: command and data set name different SOP Classes or Instances."""

    CANNOT_UNDERSTAND = 0xC000
    """PS3.4 B.2.3: no readable Study, Series or SOP Instance UID."""
