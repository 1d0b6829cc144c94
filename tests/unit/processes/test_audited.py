"""Ports that audit: what goes through them becomes conforming messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
from pydicom.data import get_testdata_file

from dicomnode import config as configuration
from dicomnode.audit import AuditMessage, Node, Source, codes
from dicomnode.audit.encoding import encode
from dicomnode.audit.gathering import Refusals, Transfers
from dicomnode.config import Destination
from dicomnode.delivery import outgoing
from dicomnode.domain.delivery import Outgoing, Sent
from dicomnode.errors import Unreachable
from dicomnode.processes.auditing import Auditor, account, audited_command
from dicomnode.processes.auditing import audited_role as role
from dicomnode.processes.clock import SystemClock
from tests.integration.audit_schema import checked, event_id

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
NODE = Node("DICOMNODE", "node1", "deliver", 4711)
PACS = Destination(name="PACS", ae_title="ARCHIVE", host="10.1.2.3", port=104)


class Kept:
    """An emitter that keeps what it takes."""

    def __init__(self) -> None:
        self.messages: list[AuditMessage] = []

    def emit(self, message: AuditMessage) -> None:
        self.messages.append(message)

    def roots(self) -> list[Element]:
        return [checked(encode(one, Source("DICOMNODE"))) for one in self.messages]

    def told(self) -> list[tuple[str, int]]:
        return [(one.event.value, int(one.outcome)) for one in self.messages]


class Views:
    """Knows one patient."""

    def identity(self, study_instance_uid: str) -> list[dict[str, str]]:
        return [{"patient_id": "PID-7"}] if study_instance_uid == "1.2" else []


class Pacs:
    """A Sender whose answers a test chooses."""

    def __init__(self) -> None:
        self.answers: list[int | None] = [0x0000]

    def send(self, instances: Sequence[Outgoing]) -> Sequence[Sent]:
        status = self.answers.pop(0)
        if status is None:
            raise Unreachable("nobody is there; look again")
        error = "" if status == 0 else "refused"
        return [Sent(one.sop_instance_uid, status, error) for one in instances]

    def echo(self) -> float:
        return 0.5


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def auditor(kept: Kept) -> Auditor:
    by = (NODE.participant(),)
    return Auditor(NODE, kept, SystemClock(), Transfers(NODE), Refusals(NODE), by)


@pytest.fixture
def file() -> Outgoing:
    return outgoing.read(Path(get_testdata_file("CT_small.dcm")))


def test_a_delivery_is_begun_and_ended(auditor: Auditor, kept: Kept, file) -> None:
    sender = auditor.sender(Pacs(), PACS)
    assert [one.accepted for one in sender.send([file])] == [True]
    assert kept.told() == [("110102", 0), ("110104", 0)]
    root = kept.roots()[-1]
    names = [one.get("AlternativeUserID") for one in root.iter("ActiveParticipant")]
    assert names == ["AETITLES=DICOMNODE", "AETITLES=ARCHIVE"]
    _, patient = root.iter("ParticipantObjectIdentification")
    assert patient.get("ParticipantObjectID") == "1CT1"
    assert sender.echo() == 0.5, "what is not audited is passed on"


def test_a_refused_result_is_a_failed_transfer(auditor: Auditor, kept: Kept, file):
    pacs = Pacs()
    pacs.answers = [0xA700]
    auditor.sender(pacs, PACS).send([file])
    assert kept.told() == [("110102", 0), ("110104", 4)]
    assert kept.messages[-1].description == "refused"


def test_a_pacs_that_is_away_for_days_does_not_fill_the_trail(
    auditor: Auditor, kept: Kept, file
) -> None:
    pacs = Pacs()
    pacs.answers = [None] * 50 + [0x0000]
    sender = auditor.sender(pacs, PACS)
    for _ in range(50):
        with pytest.raises(Unreachable):
            sender.send([file])
    assert kept.told() == [("110102", 0), ("110104", 4)]
    sender.send([file])
    assert kept.told()[2:] == [("110102", 0), ("110104", 0)]


def test_retention_and_purge_are_deletions(auditor: Auditor, kept: Kept) -> None:
    class Upkeep:
        def forget_files(self, uid: str, now: datetime) -> None:
            gone.append(uid)

    gone: list[str] = []
    auditor.upkeep(Upkeep(), Views()).forget_files("1.2", AT)  # type: ignore[arg-type]
    study = auditor.study_of(Views(), "1.3")  # type: ignore[arg-type]
    auditor.study_deleted(study, "the patient asked for it")
    assert gone == ["1.2"]
    assert kept.told() == [("110105", 0), ("110105", 0)]
    by_retention, by_person = kept.roots()
    _, patient = by_retention.iter("ParticipantObjectIdentification")
    assert patient.get("ParticipantObjectID") == "PID-7"
    said = by_person.find("EventIdentification/EventOutcomeDescription")
    assert said is not None
    assert said.text == "the patient asked for it"


def test_what_people_do_conforms(auditor: Auditor, kept: Kept) -> None:
    views = Views()
    auditor.study_shown(views, "1.2")  # type: ignore[arg-type]
    auditor.exported(views, "1.2", "file:///tmp/report.html")  # type: ignore[arg-type]
    auditor.restricted("retry", "job 7f3a")
    auditor.authenticated("ada", "10.1.2.3", codes.LOGIN, "wrong password")
    assert [event_id(root) for root in kept.roots()] == [
        "110103",
        "110106",
        "110113",
        "110114",
    ]


def test_a_command_of_a_person_names_the_person(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("")
    given = configuration.load(file, environ={"CREDENTIALS_DIRECTORY": "/nonexistent"})
    with role("keep", given), audited_command("purge", given) as audit:
        study = audit.study_of(Views(), "1.2")  # type: ignore[arg-type]
        audit.study_deleted(study, "duplicate")
    text = (tmp_path / "var/audit/audit.000001.log").read_text()
    roots = [checked(line.split(" - ", 1)[1]) for line in text.splitlines()]
    assert sorted(map(event_id, roots)) == ["110100", "110100", "110105"]
    (deleted,) = (root for root in roots if event_id(root) == "110105")
    process, person = deleted.iter("ActiveParticipant")
    assert process.get("UserName") == "dicomnode purge"
    assert person.get("UserID") == account()


def test_no_trail_is_kept_when_none_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[audit]\nenabled = false\n")
    given = configuration.load(file, environ={"CREDENTIALS_DIRECTORY": "/nonexistent"})
    with role("keep", given) as audit:
        audit.network(attached=True)
    assert not (tmp_path / "var").exists()
