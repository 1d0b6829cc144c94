"""The DIMSE statuses that this SCP answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType


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


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a status says to the peer: ``services`` that give it, and what is kept.

    ``kept``: whether the instance is safe with us, in words; ``peer``: what the peer
    should do.
    """

    services: tuple[str, ...]
    words: str
    kept: str
    peer: str


_NOTHING = "Nothing is kept."
_STORE, _ECHO, _ACTION, _REPORT = "C-STORE", "C-ECHO", "N-ACTION", "N-EVENT-REPORT"
MEANINGS: Mapping[Status, Meaning] = MappingProxyType(
    {
        Status.SUCCESS: Meaning(
            (_STORE, _ECHO, _ACTION, _REPORT),
            "Done.",
            "C-STORE: the data set is on disk, synced, and its row is committed, "
            "before the response leaves. It survives loss of power.",
            "Nothing.",
        ),
        Status.PROCESSING_FAILURE: Meaning(
            (_STORE, _ACTION),
            "The worklist cannot record, or the program failed.",
            "Not promised: a file without a row may stay and is found by reconcile.",
            "Send it again later.",
        ),
        Status.NO_SUCH_INSTANCE: Meaning(
            (_ACTION,),
            "The request names another instance than the well-known one.",
            _NOTHING,
            "Correct the request.",
        ),
        Status.INVALID_ARGUMENT: Meaning(
            (_ACTION, _REPORT),
            "The information cannot be read, or its Transaction UID is not ours.",
            _NOTHING,
            "Correct the message.",
        ),
        Status.NO_SUCH_ACTION: Meaning(
            (_ACTION,),
            "Another Action Type ID than 1.",
            _NOTHING,
            "Correct the request.",
        ),
        Status.NOT_AUTHORISED: Meaning(
            (_ACTION,),
            "The peer may not ask for storage commitment.",
            _NOTHING,
            "Ask the administrator of the node: peer.services, "
            "receiver.storage_commitment.",
        ),
        Status.OUT_OF_RESOURCES: Meaning(
            (_STORE,),
            "The disk is full or failed, its watermark is reached, the node is "
            "drained, too many jobs wait, or the instance or association is too large.",
            _NOTHING,
            "Keep the instance and send it again later.",
        ),
        Status.DATA_SET_DOES_NOT_MATCH: Meaning(
            (_STORE,),
            "Command and data set name different SOP Classes or Instances.",
            "Not in the store; in its quarantine if receiver.quarantine is true.",
            "Correct the instance at its source.",
        ),
        Status.CANNOT_UNDERSTAND: Meaning(
            (_STORE,),
            "No Study or Series Instance UID can be read.",
            "Not in the store; in its quarantine if receiver.quarantine is true.",
            "Correct the instance at its source.",
        ),
    }
)
"""For the Conformance Statement (PS3.2 N.7.3): every status that we answer with."""
