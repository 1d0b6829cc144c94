"""A delivery: one result object on its way to one destination."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from dicomnode.domain.machine import Arrow, StateMachine


class DeliveryState(StrEnum):
    """States of a delivery; FAILED is the dead letter that `retry` revives."""

    PENDING = "PENDING"
    SENT = "SENT"
    COMMITTED = "COMMITTED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"


_P, _S = DeliveryState.PENDING, DeliveryState.SENT
_C, _R, _F = DeliveryState.COMMITTED, DeliveryState.REJECTED, DeliveryState.FAILED

DELIVERY_STATES = StateMachine(
    "delivery",
    (
        Arrow(_P, "send", _S, "delivery"),
        Arrow(_P, "postpone", _P, "delivery"),
        Arrow(_P, "give up", _F, "delivery"),
        Arrow(_S, "commit", _C, "destination"),
        Arrow(_S, "reject", _R, "destination"),
        Arrow(_F, "retry", _P, "admin"),
        Arrow(_R, "retry", _P, "admin"),
        Arrow(_S, "resend", _P, "admin"),
        Arrow(_C, "resend", _P, "admin"),
    ),
)


@dataclass(frozen=True, slots=True)
class NewResult:
    """A built and durably stored result object, with the destinations it goes to.

    ``kind`` is ``sr``, ``sr-text`` or ``sc``; ``destinations`` is empty in shadow mode.
    """

    kind: str
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    location: str
    sha256: str
    destinations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed delivery; ``attempts`` counts the ones before this."""

    delivery_id: int
    job_id: str
    destination: str
    result_kind: str
    sop_class_uid: str
    sop_instance_uid: str
    location: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A complete DICOM file (PS3.10) to be sent as it is, with its file meta's UIDs."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to one C-STORE.

    ``status`` is the DIMSE status, or None when the association ended before an
    answer; ``error`` is empty on success and on a warning status.
    """

    sop_instance_uid: str
    status: int | None
    error: str = ""
    sent_at: datetime | None = None

    @property
    def accepted(self) -> bool:
        """Success or a warning (PS3.7 C.1, C.2): the destination has the instance."""
        return self.status is not None and not self.error
