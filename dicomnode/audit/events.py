"""What the node audits, as messages of PS3.15 A.5.3. Pure.

Patient names are left out everywhere, because no table asks for them; the patient ID is
in every message about a study, because each table does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from dicomnode.audit import codes
from dicomnode.audit.codes import Code
from dicomnode.audit.message import (
    AuditMessage,
    Outcome,
    Participant,
    ParticipantObject,
)

_PERSON, _SYSTEM_OBJECT = 1, 2
_PATIENT, _REPORT, _MASTER_FILE, _SECURITY_RESOURCE = 1, 3, 5, 13
_ERASED = 15


@dataclass(frozen=True, slots=True)
class Node:
    """This process: the pid and the role are what the ordinary logs name it by."""

    ae_title: str
    host: str
    role: str
    pid: int

    def participant(
        self, role: Code | None = None, *, is_requestor: bool = False
    ) -> Participant:
        """This process as a participant in an event."""
        return Participant(
            user_id=str(self.pid),
            is_requestor=is_requestor,
            user_name=f"dicomnode {self.role}",
            ae_titles=(self.ae_title,),
            roles=() if role is None else (role,),
            address=self.host,
        )


@dataclass(frozen=True, slots=True)
class Peer:
    """Another application entity, by its title and its address."""

    ae_title: str
    address: str

    def participant(
        self, role: Code | None = None, *, is_requestor: bool = False
    ) -> Participant:
        """The peer as a participant in an event."""
        return Participant(
            user_id=self.ae_title,
            is_requestor=is_requestor,
            ae_titles=(self.ae_title,),
            roles=() if role is None else (role,),
            address=self.address,
        )


@dataclass(frozen=True, slots=True)
class AuditedStudy:
    """A study in an event; ``sop_classes``: SOP Class UID -> number of instances."""

    study_instance_uid: str
    patient_id: str = ""
    accession_number: str = ""
    sop_classes: Mapping[str, int] = field(default_factory=dict)

    def objects(
        self, life_cycle: int | None = None
    ) -> tuple[ParticipantObject, ParticipantObject]:
        """The study and its patient, in this order."""
        study = ParticipantObject(
            id_type=codes.STUDY_INSTANCE_UID,
            object_id=self.study_instance_uid,
            type_code=_SYSTEM_OBJECT,
            role=_REPORT,
            life_cycle=life_cycle,
            accession_number=self.accession_number,
            sop_classes=tuple(sorted(self.sop_classes.items())),
        )
        patient = ParticipantObject(
            id_type=codes.PATIENT_NUMBER,
            object_id=self.patient_id,
            type_code=_PERSON,
            role=_PATIENT,
        )
        return study, patient


def application(node: Node, user: str, at: datetime, *, started: bool) -> AuditMessage:
    """A.5.3.1: a role of the node starts or stops; ``user`` is whose process it is."""
    launcher = Participant(
        user, is_requestor=True, roles=(codes.APPLICATION_LAUNCHER,), address=node.host
    )
    return AuditMessage(
        event=codes.APPLICATION_ACTIVITY,
        action="E",
        at=at,
        types=(codes.APPLICATION_START if started else codes.APPLICATION_STOP,),
        participants=(node.participant(codes.APPLICATION), launcher),
    )


def network_entry(node: Node, at: datetime, *, attached: bool) -> AuditMessage:
    """A.5.3.9: the receiver begins or ends to listen."""
    return AuditMessage(
        event=codes.NETWORK_ENTRY,
        action="E",
        at=at,
        types=(codes.ATTACH if attached else codes.DETACH,),
        participants=(node.participant(),),
    )


def transfer_begun(
    source: Node | Peer, destination: Node | Peer, study: AuditedStudy, at: datetime
) -> AuditMessage:
    """A.5.3.3: the first instance of a study is on its way."""
    return AuditMessage(
        event=codes.BEGIN_TRANSFERRING,
        action="E",
        at=at,
        participants=_both(source, destination),
        objects=study.objects(),
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a transfer ended: ``action`` is C, R or U of A.5.3.7."""

    at: datetime
    action: str = "R"
    error: str = ""


def transfer_ended(
    source: Node | Peer, destination: Node | Peer, study: AuditedStudy, ended: Ended
) -> AuditMessage:
    """A.5.3.7: all instances of a study have come, gone, or been refused."""
    return AuditMessage(
        event=codes.INSTANCES_TRANSFERRED,
        action=ended.action,
        at=ended.at,
        outcome=Outcome.MINOR_FAILURE if ended.error else Outcome.SUCCESS,
        description=ended.error,
        participants=_both(source, destination),
        objects=study.objects(),
    )


def _both(
    source: Node | Peer, destination: Node | Peer
) -> tuple[Participant, Participant]:
    # In every transfer that we take part in, the source is the one who calls.
    return (
        source.participant(codes.SOURCE_ROLE, is_requestor=True),
        destination.participant(codes.DESTINATION_ROLE),
    )


@dataclass(frozen=True, slots=True)
class Query:
    """What an archive was asked: the SOP Class and the encoded identifier."""

    sop_class_uid: str
    identifier: bytes
    transfer_syntax_uid: str


def queried(
    by: tuple[Participant, ...],
    archive: Peer,
    query: Query,
    at: datetime,
    error: str = "",
) -> AuditMessage:
    """A.5.3.10: we have asked an archive; the first of ``by`` is this process."""
    node, *others = by
    asked = ParticipantObject(
        id_type=codes.SOP_CLASS_UID,
        object_id=query.sop_class_uid,
        type_code=_SYSTEM_OBJECT,
        role=_REPORT,
        details=(("TransferSyntax", query.transfer_syntax_uid),),
        query=query.identifier,
    )
    return AuditMessage(
        event=codes.QUERY,
        action="E",
        at=at,
        outcome=Outcome.MINOR_FAILURE if error else Outcome.SUCCESS,
        description=error,
        participants=(
            replace(node, roles=(codes.SOURCE_ROLE,)),
            archive.participant(codes.DESTINATION_ROLE),
            *others,
        ),
        objects=(asked,),
    )


def instances_accessed(
    by: Participant, study: AuditedStudy, at: datetime, error: str = ""
) -> AuditMessage:
    """A.5.3.6: a job has read the instances of a study, or a person its report."""
    return AuditMessage(
        event=codes.INSTANCES_ACCESSED,
        action="R",
        at=at,
        outcome=Outcome.MINOR_FAILURE if error else Outcome.SUCCESS,
        description=error,
        participants=(by,),
        objects=study.objects(),
    )


def study_deleted(
    by: tuple[Participant, ...],
    study: AuditedStudy,
    at: datetime,
    reason: str,
    error: str = "",
) -> AuditMessage:
    """A.5.3.8: the files of a study are gone, by retention or by a person.

    ``error``: why they are not, or not all of them; then it is not said to be erased.
    """
    return AuditMessage(
        event=codes.STUDY_DELETED,
        action="D",
        at=at,
        outcome=Outcome.SERIOUS_FAILURE if error else Outcome.SUCCESS,
        description=f"{reason}: {error}" if error else reason,
        participants=by,
        objects=study.objects() if error else study.objects(_ERASED),
    )


def exported(
    by: tuple[Participant, ...], uri: str, study: AuditedStudy, at: datetime
) -> AuditMessage:
    """A.5.3.4: data leaves the node for a file; ``uri`` says where it went."""
    sources = (replace(one, roles=(codes.SOURCE_ROLE,)) for one in by)
    media = Participant(
        user_id=uri,
        is_requestor=False,
        roles=(codes.DESTINATION_MEDIA,),
        media=codes.MEDIA_URI,
    )
    return AuditMessage(
        event=codes.EXPORT,
        action="R",
        at=at,
        participants=(*sources, media),
        objects=study.objects(),
    )


@dataclass(frozen=True, slots=True)
class Alert:
    """What a Security Alert says: its kind (A.5.3.11), its text and how bad it is."""

    kind: Code
    text: str
    outcome: Outcome = Outcome.SUCCESS


def node_refused(node: Node, peer: Peer, text: str, at: datetime) -> AuditMessage:
    """A.5.3.11: an association was refused, so a node was not authenticated."""
    subject = _subject(codes.NODE_ID, peer.address, _SECURITY_RESOURCE, text)
    return AuditMessage(
        event=codes.SECURITY_ALERT,
        action="E",
        at=at,
        types=(codes.NODE_AUTHENTICATION,),
        outcome=Outcome.SERIOUS_FAILURE,
        participants=(node.participant(), peer.participant()),
        objects=(subject,),
    )


def security_alert(
    by: tuple[Participant, ...], alert: Alert, uri: str, at: datetime
) -> AuditMessage:
    """A.5.3.11: a changed configuration, or a function of admins; ``uri``: of what."""
    return AuditMessage(
        event=codes.SECURITY_ALERT,
        action="E",
        at=at,
        types=(alert.kind,),
        outcome=alert.outcome,
        participants=by,
        objects=(_subject(codes.URI, uri, _MASTER_FILE, alert.text),),
    )


def _subject(
    id_type: Code, object_id: str, role: int, description: str
) -> ParticipantObject:
    return ParticipantObject(
        id_type=id_type,
        object_id=object_id,
        type_code=_SYSTEM_OBJECT,
        role=role,
        details=(("Alert Description", description),),
    )


def user_authentication(
    node: Node, user: Participant, at: datetime, kind: Code, error: str = ""
) -> AuditMessage:
    """A.5.3.12: a person logs in (LOGIN) or out (LOGOUT), or fails to."""
    return AuditMessage(
        event=codes.USER_AUTHENTICATION,
        action="E",
        at=at,
        types=(kind,),
        outcome=Outcome.MINOR_FAILURE if error else Outcome.SUCCESS,
        description=error,
        participants=(user, node.participant()),
    )


def audit_log_used(by: tuple[Participant, ...], uri: str, at: datetime) -> AuditMessage:
    """A.5.3.2: a person reads the audit trail itself."""
    log = ParticipantObject(
        id_type=codes.URI,
        object_id=uri,
        type_code=_SYSTEM_OBJECT,
        role=_SECURITY_RESOURCE,
        name="Security Audit Log",
    )
    return AuditMessage(
        event=codes.AUDIT_LOG_USED,
        action="R",
        at=at,
        participants=by,
        objects=(log,),
    )
