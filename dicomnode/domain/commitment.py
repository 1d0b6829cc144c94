"""Storage commitment (PS3.4 J): who asked whom to keep what, and the answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum

PUSH_MODEL = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class (PS3.4 J.3)."""

PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP Instance (PS3.4 J.3.2.1)."""

REQUEST_COMMITMENT = 1
"""The one Action Type ID (PS3.4 Table J.3-1)."""


class FailureReason(IntEnum):
    """Why an instance is not committed (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_INSTANCE_CONFLICT = 0x0119
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION = 0x0131
    RESOURCE_LIMITATION = 0x0213


class EventType(IntEnum):
    """Event Type ID of the answer (PS3.4 Table J.3-2)."""

    SUCCESSFUL = 1
    FAILURES_EXIST = 2


@dataclass(frozen=True, slots=True)
class Reference:
    """One instance, as storage commitment names it (PS3.4 Table J.3-1)."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class CommitmentRequest:
    """The Action Information of an N-ACTION."""

    transaction_uid: str
    instances: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """An instance that its receiver does not promise to keep; ``reason`` as sent."""

    instance: Reference
    reason: int


@dataclass(frozen=True, slots=True)
class CommitmentAnswer:
    """The Event Information of an N-EVENT-REPORT."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[Failed, ...] = ()

    @property
    def event_type(self) -> EventType:
        """Which of the two event types it is."""
        return EventType.FAILURES_EXIST if self.failed else EventType.SUCCESSFUL


class Check(StrEnum):
    """What is to be done next to find out whether a destination keeps a result."""

    ASK = "ASK"
    """Ask for storage commitment."""

    WAIT = "WAIT"
    """The answer is awaited; when the time has come it is overdue."""

    LOOK = "LOOK"
    """Look by C-FIND: the destination offers no storage commitment."""


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A SENT delivery whose check is due; ``checks`` counts those without success.

    ``failure_reason`` is what the destination has named, None for nothing.
    """

    delivery_id: int
    job_id: str
    destination: str
    result_kind: str
    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    check: Check
    checks: int
    failure_reason: int | None = None

    @property
    def reference(self) -> Reference:
        """As storage commitment names it."""
        return Reference(self.sop_class_uid, self.sop_instance_uid)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for storage commitment that is on its way."""

    transaction_uid: str
    destination: str
    requested_at: datetime
    overdue_at: datetime
