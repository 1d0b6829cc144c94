"""Checks an audit message against PS3.15 A.5: the schema, then the table of its event.

Written from the standard and sharing nothing with the program. The schema is that of
A.5.1.1 with its order of elements; of the tables of A.5.3 it has what is mandatory.
"""

from __future__ import annotations

import base64
from collections import Counter
from datetime import datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

CODED = {"csd-code", "codeSystemName", "originalText"}
ORDER = {
    "AuditMessage": [
        ("EventIdentification", 1, 1),
        ("ActiveParticipant", 1, None),
        ("AuditSourceIdentification", 1, 1),
        ("ParticipantObjectIdentification", 0, None),
    ],
    "EventIdentification": [
        ("EventID", 1, 1),
        ("EventTypeCode", 0, None),
        ("EventOutcomeDescription", 0, 1),
    ],
    "ActiveParticipant": [("RoleIDCode", 0, None), ("MediaIdentifier", 0, 1)],
    "MediaIdentifier": [("MediaType", 1, 1)],
    "AuditSourceIdentification": [("AuditSourceTypeCode", 0, None)],
    "ParticipantObjectIdentification": [
        ("ParticipantObjectIDTypeCode", 1, 1),
        # A choice: one of the two (A.5.1.1).
        ("ParticipantObjectName", 0, 1),
        ("ParticipantObjectQuery", 0, 1),
        ("ParticipantObjectDetail", 0, None),
        ("ParticipantObjectDescription", 0, None),
    ],
    "ParticipantObjectDescription": [
        ("MPPS", 0, None),
        ("Accession", 0, None),
        ("SOPClass", 0, None),
        ("ParticipantObjectContainsStudy", 0, 1),
        ("Encrypted", 0, 1),
        ("Anonymized", 0, 1),
    ],
}
ATTRIBUTES = {  # name -> (mandatory, optional)
    "AuditMessage": (set(), set()),
    "EventIdentification": (
        {"EventDateTime", "EventOutcomeIndicator"},
        {"EventActionCode"},
    ),
    "ActiveParticipant": (
        {"UserID", "UserIsRequestor"},
        {
            "AlternativeUserID",
            "UserName",
            "NetworkAccessPointID",
            "NetworkAccessPointTypeCode",
        },
    ),
    "AuditSourceIdentification": ({"AuditSourceID"}, {"AuditEnterpriseSiteID"}),
    "AuditSourceTypeCode": ({"csd-code"}, {"codeSystemName", "originalText"}),
    "ParticipantObjectIdentification": (
        {"ParticipantObjectID"},
        {
            "ParticipantObjectTypeCode",
            "ParticipantObjectTypeCodeRole",
            "ParticipantObjectDataLifeCycle",
            "ParticipantObjectSensitivity",
        },
    ),
    "ParticipantObjectDetail": ({"type", "value"}, set()),
    "SOPClass": ({"NumberOfInstances"}, {"UID"}),
    "Accession": ({"Number"}, set()),
}
VALUES = {
    "EventActionCode": set("CRUDE"),
    "EventOutcomeIndicator": {"0", "4", "8", "12"},
    "UserIsRequestor": {"true", "false"},
    "NetworkAccessPointTypeCode": set("12345"),
    "ParticipantObjectTypeCode": set("1234"),
    "ParticipantObjectTypeCodeRole": {str(n) for n in range(1, 27)},
    "ParticipantObjectDataLifeCycle": {str(n) for n in range(1, 16)},
}
SOURCE, DESTINATION, MEDIA = "110153", "110152", "110154"
STUDY = ("110180", "DCM", "2", "3")
PATIENT = ("2", "RFC-3881", "1", "1")
EVENTS = {  # EventID -> meaning, actions, types, roles, whether study and patient
    "110100": ("Application Activity", "E", {"110120", "110121"}, {"110150"}, False),
    "110101": ("Audit Log Used", "R", None, set(), False),
    "110102": (
        "Begin Transferring DICOM Instances",
        "E",
        None,
        {SOURCE, DESTINATION},
        True,
    ),
    "110103": ("DICOM Instances Accessed", "CRUD", None, set(), True),
    "110104": (
        "DICOM Instances Transferred",
        "CRU",
        None,
        {SOURCE, DESTINATION},
        True,
    ),
    "110105": ("DICOM Study Deleted", "D", None, set(), True),
    "110106": ("Export", "R", None, {SOURCE, MEDIA}, True),
    "110108": ("Network Entry", "E", {"110124", "110125"}, set(), False),
    "110112": ("Query", "E", None, {SOURCE, DESTINATION}, False),
    "110113": (
        "Security Alert",
        "E",
        {str(code) for code in range(110126, 110138)},
        set(),
        False,
    ),
    "110114": ("User Authentication", "E", {"110122", "110123"}, set(), False),
}


def checked(xml: str) -> Element:
    """The root of a message that conforms; AssertionError says where it does not."""
    root = ElementTree.fromstring(xml)
    _check(root, "AuditMessage")
    event = root.find("EventIdentification")
    assert event is not None
    at = datetime.fromisoformat(event.attrib["EventDateTime"])
    assert at.tzinfo is not None, "A.5.2.5: EventDateTime has a time zone"
    requestors = [
        one for one in root.iter("ActiveParticipant")
        if one.get("UserIsRequestor") == "true"
    ]  # fmt: skip
    assert len(requestors) <= 1, "A.5.2: one requestor at most"
    for one in root.iter("ActiveParticipant"):
        has = {"NetworkAccessPointID", "NetworkAccessPointTypeCode"} & set(one.attrib)
        assert len(has) in (0, 2), "a network access point has an id and a type"
        alternative = one.get("AlternativeUserID")
        assert alternative is None or alternative.startswith("AETITLES=")
    _check_table(root, event)
    return root


def event_id(root: Element) -> str:
    """The code of the event."""
    found = root.find("EventIdentification/EventID")
    assert found is not None
    return found.attrib["csd-code"]


def _check(element: Element, name: str) -> None:
    assert element.tag == name
    mandatory, optional = ATTRIBUTES.get(name, (set(), set()))
    if name not in ATTRIBUTES and "csd-code" in element.attrib:
        mandatory, optional = CODED, {"displayName"}
    given = set(element.attrib)
    assert mandatory <= given <= mandatory | optional, (name, given)
    for attribute, text in element.attrib.items():
        assert text in VALUES.get(attribute, {text}), (name, attribute, text)
    if name == "ParticipantObjectDetail":
        base64.b64decode(element.attrib["value"], validate=True)
    if name == "ParticipantObjectIdentification":
        choice = {"ParticipantObjectName", "ParticipantObjectQuery"}
        assert sum(one.tag in choice for one in element) == 1
    if name in ORDER:
        _check_order(element, ORDER[name])
    elif len(element):
        raise AssertionError(f"{name} has children")


def _check_order(element: Element, order: list[tuple[str, int, int | None]]) -> None:
    names = [name for name, _, _ in order]
    found = [child.tag for child in element]
    assert set(found) <= set(names), (element.tag, found)
    assert found == sorted(found, key=names.index), f"{element.tag}: order {found}"
    counts = Counter(found)
    for name, least, most in order:
        assert counts[name] >= least, f"{element.tag} lacks {name}"
        assert most is None or counts[name] <= most, f"{element.tag}: too many {name}"
    for child in element:
        _check(child, child.tag)


def _check_table(root: Element, event: Element) -> None:
    code = event_id(root)
    meaning, actions, types, roles, of_a_study = EVENTS[code]
    identified = event.find("EventID")
    assert identified is not None
    assert identified.attrib["originalText"] == meaning
    assert event.attrib["EventActionCode"] in actions
    found = {one.attrib["csd-code"] for one in event.findall("EventTypeCode")}
    assert (found <= types and found) if types else not found, found
    present = {one.attrib["csd-code"] for one in root.iter("RoleIDCode")}
    assert roles <= present, (code, present)
    objects = [_kind(one) for one in root.iter("ParticipantObjectIdentification")]
    if of_a_study:
        assert objects.count(STUDY) >= 1
        assert objects.count(PATIENT) == 1
    if code == "110113":
        details = {one.attrib["type"] for one in root.iter("ParticipantObjectDetail")}
        assert details == {"Alert Description"}
    if code == "110112":
        # A.5.3.10: the SOP Class queried, the identifier, its transfer syntax.
        assert objects == [("110181", "DCM", "2", "3")]
        (query,) = root.iter("ParticipantObjectQuery")
        assert base64.b64decode(query.text or "", validate=True)
        (detail,) = root.iter("ParticipantObjectDetail")
        assert detail.attrib["type"] == "TransferSyntax"
    if code == "110101":
        assert objects == [("12", "RFC-3881", "2", "13")]
    if code in ("110100", "110108", "110114"):
        assert not objects, "no Participant Objects are needed for this message"
    if code == "110108":
        (node,) = root.iter("ActiveParticipant")
        assert node.attrib["UserIsRequestor"] == "false"
    if code == "110114":
        person = next(root.iter("ActiveParticipant"))
        assert "NetworkAccessPointID" in person.attrib


def _kind(one: Element) -> tuple[str, str, str, str]:
    code = one.find("ParticipantObjectIDTypeCode")
    assert code is not None
    return (
        code.attrib["csd-code"],
        code.attrib["codeSystemName"],
        one.attrib["ParticipantObjectTypeCode"],
        one.attrib["ParticipantObjectTypeCodeRole"],
    )
