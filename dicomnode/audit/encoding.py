"""An audit message as XML of the schema of PS3.15 A.5.1.1, on one line."""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, tostring

from dicomnode.audit.codes import Code
from dicomnode.audit.message import (
    AuditMessage,
    Participant,
    ParticipantObject,
    Source,
)

_APPLICATION_SERVER = "4"
_MACHINE_NAME, _IP_ADDRESS = "1", "2"
# XML 1.0 has no way to write these, and a peer or a patient ID may hold them.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def encode(message: AuditMessage, source: Source) -> str:
    """The message as XML without a line break."""
    root = Element("AuditMessage")
    _event(root, message)
    for participant in message.participants:
        _participant(root, participant)
    _source(root, source)
    for one in message.objects:
        _object(root, one)
    # Attributes are written with their line breaks as references; texts are not.
    return " ".join(tostring(root, encoding="unicode").splitlines())


def _event(root: Element, message: AuditMessage) -> None:
    attributes = {
        "EventActionCode": message.action,
        "EventDateTime": _moment(message.at),
        "EventOutcomeIndicator": str(int(message.outcome)),
    }
    event = SubElement(root, "EventIdentification", attributes)
    _code(event, "EventID", message.event)
    for code in message.types:
        _code(event, "EventTypeCode", code)
    if message.description:
        SubElement(event, "EventOutcomeDescription").text = _clean(message.description)


def _participant(root: Element, one: Participant) -> None:
    attributes = {
        "UserID": one.user_id,
        "AlternativeUserID": _ae_titles(one.ae_titles),
        "UserName": one.user_name,
        "UserIsRequestor": "true" if one.is_requestor else "false",
        "NetworkAccessPointID": one.address,
        "NetworkAccessPointTypeCode": _kind_of(one.address),
    }
    given = {
        name: _clean(text)
        for name, text in attributes.items()
        if text or name == "UserID"
    }
    element = SubElement(root, "ActiveParticipant", given)
    for role in one.roles:
        _code(element, "RoleIDCode", role)
    if one.media is not None:
        _code(SubElement(element, "MediaIdentifier"), "MediaType", one.media)


def _source(root: Element, source: Source) -> None:
    attributes = {"AuditSourceID": _clean(source.audit_source_id)}
    if source.enterprise_site_id:
        attributes["AuditEnterpriseSiteID"] = _clean(source.enterprise_site_id)
    element = SubElement(root, "AuditSourceIdentification", attributes)
    SubElement(element, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})


def _object(root: Element, one: ParticipantObject) -> None:
    attributes = {
        "ParticipantObjectID": _clean(one.object_id),
        "ParticipantObjectTypeCode": str(one.type_code),
        "ParticipantObjectTypeCodeRole": str(one.role),
    }
    if one.life_cycle is not None:
        attributes["ParticipantObjectDataLifeCycle"] = str(one.life_cycle)
    element = SubElement(root, "ParticipantObjectIdentification", attributes)
    _code(element, "ParticipantObjectIDTypeCode", one.id_type)
    if one.query:
        encoded = base64.b64encode(one.query).decode("ascii")
        SubElement(element, "ParticipantObjectQuery").text = encoded
    else:
        # The schema wants one of them, also where the tables of A.5.3 want neither.
        SubElement(element, "ParticipantObjectName").text = _clean(one.name)
    for kind, text in one.details:
        value = base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
        pair = {"type": kind, "value": value}
        SubElement(element, "ParticipantObjectDetail", pair)
    if one.sop_classes:
        _description(element, one.accession_number, one.sop_classes)


def _description(
    element: Element, accession_number: str, classes: Iterable[tuple[str, int]]
) -> None:
    description = SubElement(element, "ParticipantObjectDescription")
    if accession_number:
        SubElement(description, "Accession", {"Number": _clean(accession_number)})
    for uid, number in classes:
        attributes = {"UID": _clean(uid), "NumberOfInstances": str(number)}
        SubElement(description, "SOPClass", attributes)


def _code(parent: Element, name: str, code: Code) -> None:
    attributes = {
        "csd-code": code.value,
        "codeSystemName": code.scheme,
        "originalText": code.meaning,
    }
    SubElement(parent, name, attributes)


def _ae_titles(titles: tuple[str, ...]) -> str:
    return f"AETITLES={';'.join(titles)}" if titles else ""  # PS3.15 A.5.2.2


def _kind_of(address: str) -> str:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return _MACHINE_NAME if address else ""
    return _IP_ADDRESS


def _moment(at: datetime) -> str:
    """With its time zone, as PS3.15 A.5.2.5 asks."""
    text = at.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
