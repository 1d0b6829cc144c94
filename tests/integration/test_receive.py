"""Receiving over real associations: what is accepted, kept, refused and answered."""

from __future__ import annotations

import socket
import struct
import threading
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)
from pynetdicom.pdu_primitives import (
    SCP_SCU_RoleSelectionNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import build_context

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.errors import ConfigError, WorklistError
from dicomnode.ports import Buffer
from dicomnode.receiver.acceptance import Policy
from dicomnode.receiver.lobby import LobbyLimits
from dicomnode.store import LocalStore
from tests.contract.fakes import MemoryIntake, MemoryStore
from tests.integration.receiving import (
    POLICY,
    Node,
    Sample,
    associated,
    receiving,
    send,
    settings,
    status,
    undisturbed,
)
from tests.unit.receiver.test_header import dataset, encoded

PRIVATE_CLASS = "1.3.46.670589.5.0.1.1"
PRIVATE_SYNTAX = "1.2.826.0.1.3680043.9.9999.1"
UNKNOWN_CLASS = "1.2.840.10008.5.1.4.1.1.9999"
UNKNOWN_SYNTAX = "1.2.840.10008.1.2.4.999"
MWL = "1.2.840.10008.5.1.4.31"
HANG_SECONDS = 60
"""A hung test must end; nothing is asserted about speed."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with receiving(tmp_path / "instances") as running:
        yield running


def made(
    sop_class: str = CTImageStorage,
    syntax: str = ExplicitVRLittleEndian,
    encoding: str = ExplicitVRLittleEndian,
    uid: str = "1.2.3.4.5.6",
) -> Sample:
    ds = dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid
    key = InstanceKey("1.2.3.4", "1.2.3.4.5", uid, sop_class, syntax)
    return Sample("made", key, encoded(ds, encoding))


def test_echo_and_store(node: Node, tmp_path: Path) -> None:
    one = made()
    with associated(node.port, [one.context]) as association:
        assert association.send_c_echo().Status == 0
        assert status(association, one) == 0
    assert node.data_set("1.2.3.4.5.6") == one.data_set
    (seen,) = node.intake.associations
    assert (seen.accepted, seen.reason, seen.remedy) == (True, "", "")
    assert (seen.calling_ae_title, seen.address) == ("MODALITY", "127.0.0.1")


@pytest.mark.parametrize(
    ("sop_class", "syntax", "encoding"),
    [
        (PRIVATE_CLASS, ExplicitVRLittleEndian, ExplicitVRLittleEndian),
        (PRIVATE_CLASS, PRIVATE_SYNTAX, ExplicitVRLittleEndian),
        (CTImageStorage, PRIVATE_SYNTAX, ImplicitVRLittleEndian),
        ("1.2.840.10008.5.1.1.29", ImplicitVRLittleEndian, ImplicitVRLittleEndian),
        (UNKNOWN_CLASS, UNKNOWN_SYNTAX, ExplicitVRLittleEndian),
    ],
)
def test_private_retired_and_unknown_is_kept_unchanged(
    node: Node, tmp_path: Path, sop_class: str, syntax: str, encoding: str
) -> None:
    one = made(sop_class, syntax, encoding)
    with associated(node.port, [one.context]) as association:
        assert status(association, one) == 0
    assert node.data_set("1.2.3.4.5.6") == one.data_set
    assert node.intake.instances[0].key == one.key


def test_other_services_are_not_negotiated_and_storage_still_is(node: Node) -> None:
    offers = [(MWL, ImplicitVRLittleEndian), (CTImageStorage, JPEG2000Lossless)]
    with associated(node.port, offers) as association:
        accepted = {str(one.abstract_syntax) for one in association.accepted_contexts}
        (rejected,) = association.rejected_contexts
        assert association.send_c_echo().Status == 0
    assert accepted == {CTImageStorage, "1.2.840.10008.1.1"}
    # PS3.8 Table 9-18: abstract syntax not supported.
    assert (rejected.abstract_syntax, rejected.result) == (MWL, 3)


def test_an_association_with_nothing_to_do_is_said_so(node: Node) -> None:
    from pynetdicom import AE

    ae = AE("MODALITY")
    proposed = [build_context(MWL)]
    ae.associate("127.0.0.1", node.port, proposed, ae_title="DICOMNODE")
    with associated(node.port) as association:
        assert association.send_c_echo().Status == 0
    assert node.intake.associations[0].reason == (
        "no proposed presentation context was acceptable"
    )


def test_128_contexts_and_every_negotiation_item_are_borne(
    node: Node, tmp_path: Path
) -> None:
    from pynetdicom import AE

    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid, role.scu_role, role.scp_role = CTImageStorage, True, True
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid = CTImageStorage
    extended.service_class_application_information = b"\x02\x00\x03\x00\x01\x00"
    common = SOPClassCommonExtendedNegotiation()
    common.sop_class_uid, common.service_class_uid = PRIVATE_CLASS, "1.2.840.10008.4.2"
    user = UserIdentityNegotiation()
    user.user_identity_type, user.primary_field = 1, b"someone"
    contexts = [build_context(f"1.2.826.0.1.{n}", PRIVATE_SYNTAX) for n in range(127)]
    contexts.append(build_context(CTImageStorage, ExplicitVRLittleEndian))
    association = AE("MODALITY").associate(
        "127.0.0.1",
        node.port,
        contexts,
        ae_title="DICOMNODE",
        ext_neg=[role, extended, common, user],
    )
    assert association.is_established
    assert len(association.accepted_contexts) == 128
    with undisturbed(association):
        assert status(association, made()) == 0
    association.release()


@pytest.mark.parametrize(
    ("calling", "called", "diagnostic", "remedy"),
    [
        (
            "STRANGER",
            "DICOMNODE",
            3,
            {"peer": [{"ae_title": "STRANGER", "hosts": ["127.0.0.1"]}]},
        ),
        ("MODALITY", "OTHER", 7, {"receiver": {"require_called_ae_title": False}}),
    ],
)
def test_a_refusal_is_visible_with_its_remedy(
    node: Node, calling: str, called: str, diagnostic: int, remedy: dict[str, object]
) -> None:
    with associated(node.port, calling=calling, called=called) as association:
        assert association.is_rejected
        answer = association.acceptor.primitive
        assert answer is not None
        found = (answer.result, answer.result_source, answer.diagnostic)
        assert found == (1, 1, diagnostic)
    (seen,) = node.intake.associations
    assert not seen.accepted
    assert seen.reason
    assert tomllib.loads(seen.remedy) == remedy


def test_the_limit_of_associations(tmp_path: Path) -> None:
    policy = replace(POLICY, max_associations=1)
    with receiving(tmp_path, settings(policy)) as node:
        with associated(node.port) as first:
            assert first.is_established
            with associated(node.port) as second:
                answer = second.acceptor.primitive
                assert second.is_rejected
                assert answer is not None
                found = (answer.result, answer.result_source, answer.diagnostic)
                # PS3.8 Table 9-21: transient, local limit exceeded.
                assert found == (2, 3, 2)
        assert _until_established(node.port)
        remedies = [one.remedy for one in node.intake.associations if one.remedy]
        assert tomllib.loads(remedies[0]) == {"receiver": {"max_associations": 2}}


def _until_established(port: int) -> bool:
    """The limit frees itself a moment after the release; never is a failure."""
    for _ in range(500):
        with associated(port) as association:
            if association.is_established:
                return True
    return False


def test_idle_connections_do_not_count(tmp_path: Path) -> None:
    policy = replace(POLICY, max_associations=1)
    with receiving(tmp_path, settings(policy)) as node:
        idle = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(20)]
        idle[0].sendall(b"\x01\x00\x00\x00\x00")
        with associated(node.port) as association:
            assert association.send_c_echo().Status == 0
        for one in idle:
            one.close()


def test_a_refused_instance_is_recorded_and_the_association_goes_on(
    node: Node, tmp_path: Path
) -> None:
    good, other = made(), made(uid="1.2.3.4.5.7")
    mismatch = Sample("mismatch", good.key, other.data_set)
    unreadable = Sample("unreadable", good.key, b"\xff" * 100)
    with associated(node.port, [good.context]) as association:
        assert status(association, mismatch) == 0xA900
        assert status(association, unreadable) == 0xC000
        assert status(association, good) == 0
    assert [one.status for one in node.intake.refusals] == [0xA900, 0xC000]
    assert len(node.files()) == 1


@pytest.mark.parametrize("uid", ["../../../../tmp/evil", "/etc/passwd", "CON", "1..2"])
def test_a_hostile_uid_is_refused_and_nothing_is_written(
    node: Node, tmp_path: Path, uid: str
) -> None:
    sound = made()
    for field in ("sop_instance_uid", "study_instance_uid"):
        ds = dataset()
        if field == "sop_instance_uid":
            ds.SOPInstanceUID = uid
        else:
            ds.StudyInstanceUID = uid
        changes = {field: uid}
        key = replace(sound.key, **changes)
        hostile = Sample("hostile", key, encoded(ds, ExplicitVRLittleEndian))
        with associated(node.port, [hostile.context]) as association:
            assert status(association, hostile) == 0xC000
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_store_without_data_set_is_refused(node: Node) -> None:
    one = replace(made(), data_set=b"")
    with associated(node.port, [one.context]) as association:
        assert status(association, one) == 0xC000


def test_a_store_that_names_no_instance_is_aborted_and_not_left_waiting(
    node: Node,
) -> None:
    one = replace(made(), key=replace(made().key, sop_instance_uid=""))
    with associated(node.port, [one.context]) as association:
        assert send(association, one) is None
        association.dul.join(HANG_SECONDS)
        assert not association.dul.is_alive()
    with associated(node.port) as association:
        assert association.send_c_echo().Status == 0


def test_the_sender_is_told_why(node: Node, tmp_path: Path) -> None:
    one = replace(made(), data_set=b"\0\0")
    with associated(node.port, [one.context]) as association:
        answer = send(association, one)
    assert answer
    assert answer.Status == 0xC000
    assert str(answer.ErrorComment).startswith("no Study or Series Instance UID")


def test_other_content_under_the_same_uid_is_kept_too(
    node: Node, tmp_path: Path
) -> None:
    first = made()
    ds = dataset()
    ds.StudyDate = "20250101"
    second = Sample("second", first.key, encoded(ds, ExplicitVRLittleEndian))
    with associated(node.port, [first.context]) as association:
        answers = [status(association, one) for one in (first, second, first)]
    assert answers == [0, 0, 0]
    assert len(node.files()) == 2


def test_a_full_disk_is_answered_and_passes(tmp_path: Path) -> None:
    root = tmp_path / "instances"
    full = LocalStore(root, watermark_percent=0.0001)
    one = made()
    with (
        receiving(root, store=full) as node,
        associated(node.port, [one.context]) as association,
    ):
        assert status(association, one) == 0xA700
        assert not node.files()
        assert "watermark_percent" in node.intake.refusals[0].reason


def test_a_failing_worklist_gives_no_success(tmp_path: Path) -> None:
    failing = MemoryIntake()
    failing.failing = True
    one = made()
    with (
        receiving(tmp_path / "instances", intake=failing) as node,
        associated(node.port, [one.context]) as association,
    ):
        assert status(association, one) == 0x0110
        failing.failing = False
        assert status(association, one) == 0
    assert len(failing.instances) == 1


def test_an_error_of_the_program_gives_no_success(tmp_path: Path) -> None:
    class Broken(MemoryStore):
        def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
            raise RuntimeError("Doe^John")

    one = made()
    with (
        receiving(tmp_path / "instances", store=Broken()) as node,
        associated(node.port, [one.context]) as association,
    ):
        answer = send(association, one)
        assert answer
        assert answer.Status == 0x0110
        assert "RuntimeError" in str(answer.ErrorComment)
        assert "Doe" not in str(answer.ErrorComment)
        assert association.send_c_echo().Status == 0


def connected(node: Node) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", node.port))
    connection.settimeout(HANG_SECONDS)
    return connection


def everything(connection: socket.socket) -> bytes:
    found = b""
    try:
        while part := connection.recv(4096):
            found += part
    except ConnectionResetError:
        pass
    return found


@pytest.mark.parametrize("kind", [1, 4])
def test_an_overlong_pdu_is_aborted_at_its_header(node: Node, kind: int) -> None:
    with connected(node) as connection:
        connection.sendall(struct.pack(">BBI", kind, 0, 0xFFFFFFFF))
        # PS3.8 9.3.8: A-ABORT by the provider, invalid PDU parameter value.
        assert everything(connection) == bytes.fromhex("07000000000400000206")
    with associated(node.port) as association:
        assert association.send_c_echo().Status == 0


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x01\x00\x00\x00\x00\x04abcd",
        b"\x04\x00\x00\x00\x00\x00",
        b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00",
        bytes(100),
    ],
)
def test_probes_and_other_protocols_do_no_harm(node: Node, sent: bytes) -> None:
    with connected(node) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        everything(connection)
    with associated(node.port) as association:
        assert association.send_c_echo().Status == 0


def test_a_pdu_that_is_never_finished_ends_the_connection(tmp_path: Path) -> None:
    how = settings(lobby=LobbyLimits(request_timeout_seconds=0.3))
    with receiving(tmp_path, how) as node, connected(node) as connection:
        connection.sendall(b"\x01\x00\x00\x00\x00\x64half")
        assert everything(connection) == b""


def test_connections_that_ask_for_nothing_leave_no_thread(tmp_path: Path) -> None:
    with receiving(tmp_path, settings(acse_timeout_seconds=HANG_SECONDS)) as node:
        before = threading.active_count()
        for _ in range(10):
            connected(node).close()
        ended = _eventually(lambda: threading.active_count() <= before)
        assert ended, threading.enumerate()


def _eventually(holds: object) -> bool:
    tick = threading.Event()
    return any(holds() or tick.wait(0.02) for _ in range(HANG_SECONDS * 50))  # type: ignore[operator]


class WaitingStore(MemoryStore):
    """Stores only when it is let to."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go_on = threading.Event(), threading.Event()

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        self.entered.set()
        assert self.go_on.wait(HANG_SECONDS)
        return super().put(key, chunks)


def test_stopping_lets_a_store_under_way_finish(tmp_path: Path) -> None:
    one, store, answers = made(), WaitingStore(), []
    with (
        receiving(tmp_path / "instances", store=store) as node,
        associated(node.port, [one.context], held=False) as idle,
        associated(node.port, [one.context]) as association,
    ):
        sender = threading.Thread(
            target=lambda: answers.append(status(association, one))
        )
        sender.start()
        assert store.entered.wait(HANG_SECONDS)
        stopper = threading.Thread(target=node.stop, args=(HANG_SECONDS,))
        stopper.start()
        assert _eventually(lambda: idle.is_aborted)
        assert not answers
        store.go_on.set()
        sender.join(HANG_SECONDS)
        stopper.join(HANG_SECONDS)
        assert answers == [0]
        assert len(node.intake.instances) == 1
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", node.port))


def test_stopping_does_not_wait_for_ever(tmp_path: Path) -> None:
    one, store = made(), WaitingStore()
    with (
        receiving(tmp_path / "instances", store=store) as node,
        associated(node.port, [one.context]) as association,
    ):
        answers: list[int | None] = []
        sender = threading.Thread(
            target=lambda: answers.append(status(association, one))
        )
        sender.start()
        assert store.entered.wait(HANG_SECONDS)
        node.stop(grace_seconds=0.1)
        sender.join(HANG_SECONDS)
        store.go_on.set()
    assert answers == [None]


def test_a_port_in_use_is_an_error_of_the_configuration(
    node: Node, tmp_path: Path
) -> None:
    with (
        pytest.raises(ConfigError, match=r"set receiver\.host or receiver\.port"),
        receiving(tmp_path, settings(port=node.port)),
    ):
        pass


def test_an_association_is_served_though_it_cannot_be_recorded(tmp_path: Path) -> None:
    class Deaf(MemoryIntake):
        def record_association(self, association: object) -> None:
            raise WorklistError("the database is locked; end the program")

    policy = Policy("DICOMNODE", accept_unknown_peers=True)
    with (
        receiving(tmp_path, settings(policy), intake=Deaf()) as node,
        associated(node.port, calling="ANYONE") as association,
    ):
        assert association.send_c_echo().Status == 0
