"""A delivery: one result object on its way to one destination."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from dicomnode.domain.machine import Arrow, StateMachine


class DeliveryState(StrEnum):
    """States of a delivery; FAILED is the dead letter that `retry` revives.

    CANCELED was not sent, because another result says the same or says it better.
    """

    PENDING = "PENDING"
    SENT = "SENT"
    COMMITTED = "COMMITTED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


_P, _S = DeliveryState.PENDING, DeliveryState.SENT
_C, _R, _F = DeliveryState.COMMITTED, DeliveryState.REJECTED, DeliveryState.FAILED
_X = DeliveryState.CANCELED

DELIVERY_STATES = StateMachine(
    "delivery",
    (
        Arrow(_P, "send", _S, "delivery"),
        Arrow(_X, "send", _S, "delivery, when the answer came after the cancellation"),
        Arrow(_P, "postpone", _P, "delivery"),
        Arrow(_P, "give up", _F, "delivery"),
        Arrow(_P, "fall back", _P, "delivery, with the next profile"),
        Arrow(_P, "replace", _X, "delivery, another result carries the report"),
        Arrow(_P, "supersede", _X, "worker, with a newer revision"),
        Arrow(_F, "supersede", _X, "worker, with a newer revision"),
        Arrow(_R, "supersede", _X, "worker, with a newer revision"),
        Arrow(_S, "commit", _C, "destination"),
        Arrow(_R, "commit", _C, "destination, late"),
        Arrow(_S, "lose", _P, "destination"),
        Arrow(_S, "reject", _R, "destination"),
        Arrow(_F, "retry", _P, "admin"),
        Arrow(_R, "retry", _P, "admin"),
        Arrow(_S, "resend", _P, "admin"),
        Arrow(_C, "resend", _P, "admin"),
        Arrow(_X, "resend", _P, "admin"),
        Arrow(_P, "redirect", _P, "admin, to another destination"),
        Arrow(_F, "redirect", _P, "admin, to another destination"),
        Arrow(_R, "redirect", _P, "admin, to another destination"),
    ),
)

PROFILES = {
    "1.2.840.10008.5.1.4.1.1.88.34": "comprehensive-3d",
    "1.2.840.10008.5.1.4.1.1.88.33": "comprehensive",
    "1.2.840.10008.5.1.4.1.1.88.22": "enhanced",
    "1.2.840.10008.5.1.4.1.1.88.11": "basic-text",
    "1.2.840.10008.5.1.4.1.1.7": "secondary-capture",
}
"""SOP class of a result (PS3.4 B.5) -> by which profile a destination has it."""

LESS = {"comprehensive-3d": "comprehensive", "comprehensive": "enhanced"}
"""The next profile for a destination that accepts no context for the first.

The content tree is the same in all three. After them the companions of the same job
carry the report, see CARRIERS.
"""

CARRIERS = {"sr": ("sr-text", "sc"), "sr-text": ("sc",)}
"""Kind of a result that cannot be sent -> kinds that say the same, the best first."""

NOT_SUPPORTED = 0x0122
"""SOP class not supported (PS3.7 C.5.13): answered, or no context was accepted."""


def profile_of(sop_class_uid: str) -> str:
    """By which profile an object of this SOP class goes out; itself if unknown."""
    return PROFILES.get(sop_class_uid, sop_class_uid)


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
class Accepted:
    """A delivery that its destination has taken, with Success or a warning.

    ``check_at``: when to find out whether the destination keeps it; None: never.
    """

    delivery: Delivery
    status: int
    sent_at: datetime
    check_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """The answer to one C-STORE.

    ``status`` is the DIMSE status, or None when the association ended before an
    answer; ``error`` is empty on success and on a warning status. Not ``tried``: it
    ended before this one's turn.
    """

    sop_instance_uid: str
    status: int | None
    error: str = ""
    sent_at: datetime | None = None
    tried: bool = True

    @property
    def accepted(self) -> bool:
        """Success or a warning (PS3.7 C.1, C.2): the destination has the instance."""
        return self.status is not None and not self.error
