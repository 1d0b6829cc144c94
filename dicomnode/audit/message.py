"""An audit message (PS3.15 A.5.1) as plain data: event, participants, objects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from dicomnode.audit.codes import Code


class Outcome(IntEnum):
    """EventOutcomeIndicator (PS3.15 Table A.5.2-1)."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    SERIOUS_FAILURE = 8
    MAJOR_FAILURE = 12


@dataclass(frozen=True, slots=True)
class Participant:
    """An ActiveParticipant; ``address`` is an IP address or a machine name.

    ``media``: the kind of medium, for the one with the role Destination Media.
    """

    user_id: str
    is_requestor: bool
    user_name: str = ""
    ae_titles: tuple[str, ...] = ()
    roles: tuple[Code, ...] = ()
    address: str = ""
    media: Code | None = None


@dataclass(frozen=True, slots=True)
class ParticipantObject:
    """A ParticipantObjectIdentification.

    ``type_code``, ``role`` and ``life_cycle`` are the numbers of PS3.15 A.5.1.2;
    ``details`` pairs of type and text; ``sop_classes`` pairs of UID and number of
    instances; ``query`` an encoded identifier, in the place of a name.
    """

    id_type: Code
    object_id: str
    type_code: int
    role: int
    name: str = ""
    life_cycle: int | None = None
    details: tuple[tuple[str, str], ...] = ()
    accession_number: str = ""
    sop_classes: tuple[tuple[str, int], ...] = ()
    query: bytes = b""


@dataclass(frozen=True, slots=True)
class AuditMessage:
    """One event; ``action`` is C, R, U, D or E, ``at`` aware UTC."""

    event: Code
    action: str
    at: datetime
    participants: tuple[Participant, ...]
    objects: tuple[ParticipantObject, ...] = ()
    types: tuple[Code, ...] = ()
    outcome: Outcome = Outcome.SUCCESS
    description: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Who reports: AuditSourceID, and the site it belongs to (may be empty)."""

    audit_source_id: str
    enterprise_site_id: str = ""
