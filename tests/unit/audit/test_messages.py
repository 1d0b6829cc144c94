"""Every message that the node makes conforms to PS3.15 A.5."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.audit import AuditedStudy, Node, Participant, Peer, Source, codes, events
from dicomnode.audit.encoding import encode
from dicomnode.audit.events import Alert, Ended, Query
from dicomnode.audit.message import AuditMessage, Outcome
from dicomnode.audit.syslog import line_of
from tests.integration.audit_schema import checked, event_id

AT = datetime(2026, 1, 31, 12, 0, 0, 5000, tzinfo=UTC)
NODE = Node("DICOMNODE", "node1", "receive", 4711)
CT = Peer("CT1", "10.1.2.3")
STUDY = AuditedStudy("1.2.3", "PID-7", "A7", {"1.2.840.10008.5.1.4.1.1.2": 3})
PERSON = Participant("ada@node1", is_requestor=True, address="node1")
BY = (NODE.participant(), PERSON)
QUERY = Query("1.2.840.10008.5.1.4.1.2.2.1", b"\x08\x00", "1.2.840.10008.1.2")
SOURCE = Source("DICOMNODE@node1", "North Hospital")

MESSAGES = {
    "start": events.application(NODE, "ada@node1", AT, started=True),
    "stop": events.application(NODE, "ada@node1", AT, started=False),
    "attach": events.network_entry(NODE, AT, attached=True),
    "detach": events.network_entry(NODE, AT, attached=False),
    "begin": events.transfer_begun(CT, NODE, STUDY, AT),
    "received": events.transfer_ended(CT, NODE, STUDY, Ended(AT, "C")),
    "refused": events.transfer_ended(NODE, CT, STUDY, Ended(AT, error="0xA700")),
    "accessed": events.instances_accessed(PERSON, STUDY, AT),
    "failed": events.instances_accessed(NODE.participant(), STUDY, AT, "no pixels"),
    "deleted": events.study_deleted(BY, STUDY, AT, "wrong patient"),
    "exported": events.exported(BY, "file:///tmp/report.html", STUDY, AT),
    "node": events.node_refused(NODE, CT, "calling AE title not recognized", AT),
    "configuration": events.security_alert(
        BY, Alert(codes.SECURITY_CONFIGURATION, "peer[1].hosts"), "file:///c.toml", AT
    ),
    "query": events.queried(BY, CT, QUERY, AT),
    "query refused": events.queried(BY, CT, QUERY, AT, "0xA700"),
    "login": events.user_authentication(
        NODE, PERSON, AT, codes.LOGIN, "wrong password"
    ),
    "logout": events.user_authentication(NODE, PERSON, AT, codes.LOGOUT),
    "log": events.audit_log_used(BY, "file:///var/audit", AT),
}


def root_of(message: AuditMessage) -> Element:
    return checked(encode(message, SOURCE))


@pytest.mark.parametrize("name", MESSAGES)
def test_it_conforms(name: str) -> None:
    root_of(MESSAGES[name])


def test_a_query_is_in_the_message_as_it_was_asked() -> None:
    [asked] = root_of(MESSAGES["query"]).iter("ParticipantObjectIdentification")
    assert asked.get("ParticipantObjectID") == QUERY.sop_class_uid
    text = asked.findtext("ParticipantObjectQuery") or ""
    assert base64.b64decode(text) == QUERY.identifier
    refused = root_of(MESSAGES["query refused"]).find("EventIdentification")
    assert refused is not None
    assert refused.get("EventOutcomeIndicator") == "4"


def test_a_transfer_says_who_gave_whom_what() -> None:
    root = root_of(MESSAGES["received"])
    source, destination = root.iter("ActiveParticipant")
    assert source.attrib == {
        "UserID": "CT1",
        "AlternativeUserID": "AETITLES=CT1",
        "UserIsRequestor": "true",
        "NetworkAccessPointID": "10.1.2.3",
        "NetworkAccessPointTypeCode": "2",
    }
    assert destination.attrib["UserID"] == "4711"
    assert destination.attrib["AlternativeUserID"] == "AETITLES=DICOMNODE"
    assert destination.attrib["NetworkAccessPointTypeCode"] == "1"
    study, patient = root.iter("ParticipantObjectIdentification")
    assert study.attrib["ParticipantObjectID"] == "1.2.3"
    assert patient.attrib["ParticipantObjectID"] == "PID-7"
    (classes,) = study.iter("SOPClass")
    assert classes.attrib["NumberOfInstances"] == "3"
    event = root.find("EventIdentification")
    assert event is not None
    assert event.attrib["EventDateTime"] == "2026-01-31T12:00:00.005Z"
    assert event.attrib["EventActionCode"] == "C"


def test_a_refusal_is_a_failed_node_authentication() -> None:
    root = root_of(MESSAGES["node"])
    assert event_id(root) == "110113"
    kind = root.find("EventIdentification/EventTypeCode")
    assert kind is not None
    assert kind.attrib["csd-code"] == "110126"
    (detail,) = root.iter("ParticipantObjectDetail")
    said = base64.b64decode(detail.attrib["value"]).decode()
    assert said == "calling AE title not recognized"
    assert MESSAGES["node"].outcome is Outcome.SERIOUS_FAILURE


@given(text=st.text(max_size=40))
def test_any_text_of_a_peer_or_patient_stays_one_conforming_line(text: str) -> None:
    study = AuditedStudy(text, text, text, {"1.2": 1})
    peer = Peer(text or "X", "10.1.2.3")
    xml = encode(events.transfer_begun(peer, NODE, study, AT), SOURCE)
    line = line_of(xml, AT, "node1", 4711)
    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert b"\0" not in line
    checked(xml)


def test_markup_of_a_peer_is_text() -> None:
    peer = Peer('"/><AuditMessage>', "10.1.2.3")
    root = root_of(events.node_refused(NODE, peer, "<b>", AT))
    assert [one.get("UserID") for one in root.iter("ActiveParticipant")] == [
        "4711",
        '"/><AuditMessage>',
    ]


def test_the_line_has_the_header_of_the_standard() -> None:
    """RFC 5424 6, PS3.15 A.6: facility 10, severity 5, MSGID DICOM+RFC3881."""
    line = line_of("<AuditMessage></AuditMessage>", AT, "node 1\n", 4711)
    assert line == (
        b"<85>1 2026-01-31T12:00:00.005Z node1 dicomnode 4711 DICOM+RFC3881 - "
        b"<AuditMessage></AuditMessage>"
    )
