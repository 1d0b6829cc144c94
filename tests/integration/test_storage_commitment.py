"""A modality asks our receiver for storage commitment (PS3.4 J), on real sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.dimse_primitives import N_ACTION
from pynetdicom.dsutils import encode
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage,
    StorageCommitmentPushModel,
)

from dicomnode import storage_commitment
from dicomnode.delivery import outgoing
from dicomnode.delivery.associating import Peer as Called
from dicomnode.delivery.commitment_scu import CommitmentScu
from dicomnode.delivery.storage_scu import StorageScu
from dicomnode.domain.commitment import (
    PUSH_MODEL,
    PUSH_MODEL_INSTANCE,
    CommitmentAnswer,
    CommitmentRequest,
    FailureReason,
    Reference,
)
from dicomnode.errors import Unreachable, WorklistError
from dicomnode.receiver.peers import Peer
from dicomnode.receiver.scp import StorageSCP
from tests.integration import delivering as desks
from tests.integration.delivering import Desk, our_receiver
from tests.integration.fake_pacs import AE_TITLE, HANG_SECONDS, listening_modality

CT = Path(get_testdata_file("CT_small.dcm"))
TRANSACTION = "2.25.4711"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desks.delivering(tmp_path) as made:
        yield made


@pytest.fixture
def receiver(desk: Desk, tmp_path: Path) -> Iterator[StorageSCP]:
    with our_receiver(desk, tmp_path) as running:
        yield running


def as_peer(receiver: StorageSCP, calling: str = "MODALITY") -> Called:
    return Called("DICOMNODE", "127.0.0.1", receiver.port, calling, HANG_SECONDS)


def stored(receiver: StorageSCP) -> Reference:
    """A real CT image that the receiver has."""
    file = outgoing.read(CT)
    [sent] = StorageScu(as_peer(receiver), desks.MovedClock()).send([file])
    assert sent.status == 0x0000
    return Reference(file.sop_class_uid, file.sop_instance_uid)


def ask(
    receiver: StorageSCP, *instances: Reference, calling: str = "MODALITY"
) -> tuple[int | None, list[CommitmentAnswer]]:
    """Status of the request, and what comes on the same association."""
    answers: list[CommitmentAnswer] = []

    def note(answer: CommitmentAnswer) -> bool:
        answers.append(answer)
        return True

    scu = CommitmentScu(as_peer(receiver, calling), note, HANG_SECONDS)
    with scu.opened() as dialogue:
        assert dialogue.offers_commitment
        assert not dialogue.offers_find
        return dialogue.ask(CommitmentRequest(TRANSACTION, instances)), answers


def test_what_is_kept_is_promised_on_the_same_association(receiver: StorageSCP) -> None:
    there = stored(receiver)
    assert ask(receiver, there) == (0, [CommitmentAnswer(TRANSACTION, (there,))])


def test_what_is_not_kept_is_named_with_its_reason(
    receiver: StorageSCP, tmp_path: Path
) -> None:
    there = stored(receiver)
    unknown = Reference(there.sop_class_uid, "1.2.3")
    other_class = Reference("1.2.840.10008.5.1.4.1.1.4", there.sop_instance_uid)
    status, [answer] = ask(receiver, there, unknown, other_class)
    assert (status, answer.committed) == (0, (there,))
    assert {one.instance: one.reason for one in answer.failed} == {
        unknown: FailureReason.NO_SUCH_INSTANCE,
        other_class: FailureReason.CLASS_INSTANCE_CONFLICT,
    }
    [file] = (tmp_path / "instances").rglob("*.dcm")
    file.unlink()
    _, [answer] = ask(receiver, there)
    assert [one.reason for one in answer.failed] == [FailureReason.NO_SUCH_INSTANCE]


def test_what_retention_has_removed_is_not_promised(
    desk: Desk, receiver: StorageSCP
) -> None:
    there = stored(receiver)
    [row] = desk.worklist.views.worklist()
    desk.worklist.upkeep.forget_files(row["study_instance_uid"], desk.clock.now())
    _, [answer] = ask(receiver, there)
    assert [one.reason for one in answer.failed] == [FailureReason.NO_SUCH_INSTANCE]


def test_a_worklist_that_cannot_tell_promises_nothing(
    desk: Desk, receiver: StorageSCP, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = stored(receiver)

    def broken(_uids: object) -> None:
        raise WorklistError("the database is locked; end the program that holds it")

    monkeypatch.setattr(desk.worklist.intake, "kept", broken)
    assert ask(receiver, there) == (0x0110, [])


def act(
    port: int,
    information: Dataset,
    instance: str = PUSH_MODEL_INSTANCE,
    action: int = 1,
    leave: Callable[[object], None] = lambda association: association.release(),
    calling: str = "MODALITY",
) -> int:
    """A modality of few manners: N-ACTION, no ear for the answer, and gone."""
    came, left, status = threading.Event(), threading.Event(), []

    def on_report(_event: evt.Event) -> tuple[int, None]:
        left.wait(HANG_SECONDS)
        return 0x0110, None

    def on_message(event: evt.Event) -> None:
        if isinstance(event.message.command_set.get("Status"), int):
            status.append(event.message.command_set.Status)
            came.set()

    ae = AE(calling)
    ae.add_requested_context(StorageCommitmentPushModel, "1.2.840.10008.1.2")
    handlers = [
        (evt.EVT_DIMSE_RECV, on_message),
        (evt.EVT_N_EVENT_REPORT, on_report),
    ]
    association = ae.associate(
        "127.0.0.1", port, ae_title="DICOMNODE", evt_handlers=handlers
    )
    assert association.is_established
    message = N_ACTION()
    message.MessageID, message.ActionTypeID = 1, action
    message.RequestedSOPClassUID = PUSH_MODEL
    message.RequestedSOPInstanceUID = instance
    message.ActionInformation = BytesIO(encode(information, True, True) or b"")
    association.dimse.send_msg(message, 1)
    assert came.wait(HANG_SECONDS)
    leave(association)
    left.set()
    return status[0]


def request_of(*instances: Reference) -> Dataset:
    return storage_commitment.action_information(
        CommitmentRequest(TRANSACTION, instances)
    )


SOME = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3")


def test_a_request_that_is_wrong_is_refused_with_the_status_that_says_so(
    receiver: StorageSCP,
) -> None:
    good, nameless, empty = request_of(SOME), request_of(SOME), request_of(SOME)
    del nameless.TransactionUID
    del empty.ReferencedSOPSequence
    assert act(receiver.port, good, instance="1.2.3.4") == 0x0112
    assert act(receiver.port, good, action=2) == 0x0123
    assert act(receiver.port, nameless) == 0x0115
    assert act(receiver.port, empty) == 0x0115
    assert act(receiver.port, good) == 0x0000


@pytest.mark.parametrize(
    "leave",
    [
        lambda association: association.release(),
        lambda association: association.abort(),
        lambda association: association.dul.socket.close(),
    ],
    ids=["release", "abort", "cut"],
)
def test_who_leaves_before_the_answer_gets_it_on_an_association_of_its_own(
    desk: Desk, tmp_path: Path, leave: Callable[[object], None]
) -> None:
    with listening_modality() as (port, answers, came):
        peers = [Peer("MODALITY", ("127.0.0.1",), port=port)]
        with our_receiver(desk, tmp_path, peers) as receiver:
            there = stored(receiver)
            assert act(receiver.port, request_of(there, SOME), leave=leave) == 0x0000
            assert came.wait(HANG_SECONDS)
    [answer] = answers
    assert answer.committed == (there,)
    assert [one.instance for one in answer.failed] == [SOME]


def test_an_answer_that_was_taken_is_not_told_again(desk: Desk, tmp_path: Path) -> None:
    with listening_modality() as (port, answers, _came):
        peers = [Peer("MODALITY", ("127.0.0.1",), port=port)]
        with our_receiver(desk, tmp_path, peers) as receiver:
            _, taken = ask(receiver, stored(receiver))
        assert (len(taken), answers) == (1, [])


def test_who_leaves_without_a_port_is_said_to_have_left(
    receiver: StorageSCP, capsys: pytest.CaptureFixture[str]
) -> None:
    act(receiver.port, request_of(SOME))
    receiver.stop(10)
    assert "set peer.port to where it takes answers" in capsys.readouterr().out


def test_the_service_is_not_offered_when_it_is_off(desk: Desk, tmp_path: Path) -> None:
    with our_receiver(desk, tmp_path, offers=False) as receiver:
        with pytest.raises(Unreachable), scu(receiver, "MODALITY").opened():
            pass
        # A destination still answers what we asked it.
        with scu(receiver, AE_TITLE).opened() as dialogue:
            status = dialogue.ask(CommitmentRequest(TRANSACTION, (SOME,)))
        assert status == 0x0124


def scu(receiver: StorageSCP, calling: str) -> CommitmentScu:
    return CommitmentScu(as_peer(receiver, calling), lambda _answer: True, 0)


def test_a_destination_that_is_no_peer_may_answer_and_nothing_else(
    desk: Desk, receiver: StorageSCP
) -> None:
    file = outgoing.read(CT)
    with pytest.raises(Unreachable, match="calling AE title is unknown"):
        StorageScu(as_peer(receiver, AE_TITLE), desk.clock).send([file])
    [refused] = desk.worklist.views.associations(refused_only=True)
    assert 'ae_title = "PACS"' in refused["remedy"]
    ae = AE(AE_TITLE)
    ae.add_requested_context(CTImageStorage)
    ae.add_requested_context(StorageCommitmentPushModel)
    role = build_role(StorageCommitmentPushModel, scp_role=True)
    association = ae.associate(
        "127.0.0.1", receiver.port, ae_title="DICOMNODE", ext_neg=[role]
    )
    accepted = {one.abstract_syntax for one in association.accepted_contexts}
    association.release()
    assert accepted == {StorageCommitmentPushModel}


def test_a_deflated_context_is_not_accepted(receiver: StorageSCP) -> None:
    ae = AE("MODALITY")
    ae.add_requested_context(StorageCommitmentPushModel, "1.2.840.10008.1.2.1.99")
    association = ae.associate("127.0.0.1", receiver.port, ae_title="DICOMNODE")
    assert not association.is_established
