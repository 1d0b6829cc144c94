"""One C-STORE without a network: what is answered, kept, recorded and said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.errors import ReceiveError, StoreFull
from dicomnode.ports import Buffer
from dicomnode.receiver.handlers import Answer, StoreHandler, StoreRequest
from dicomnode.receiver.statuses import Status
from tests.contract.fakes import MemoryIntake, MemoryStore
from tests.unit.receiver.test_header import dataset, encoded

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SYNTAX = "1.2.840.10008.1.2.1"
REQUEST = StoreRequest(
    data_set=encoded(dataset(), SYNTAX),
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
    sop_instance_uid="1.2.3.4.5.6",
    transfer_syntax_uid=SYNTAX,
    calling_ae_title="CT1",
    called_ae_title="DICOMNODE",
    address="10.1.2.3",
)


class FixedClock:
    def now(self) -> datetime:
        return NOW


class FailingStore(MemoryStore):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        raise self.error


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def intake() -> MemoryIntake:
    return MemoryIntake()


@pytest.fixture
def handler(store: MemoryStore, intake: MemoryIntake) -> StoreHandler:
    return StoreHandler(store, intake, FixedClock())


def changed(**changes: str) -> StoreRequest:
    ds = dataset()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return replace(REQUEST, data_set=encoded(ds, SYNTAX))


def test_success_is_answered_after_keeping_and_recording(
    handler: StoreHandler, store: MemoryStore, intake: MemoryIntake
) -> None:
    assert handler(REQUEST) == Answer(Status.SUCCESS)
    (instance,) = intake.instances
    assert store.files[instance.stored.location].endswith(bytes(REQUEST.data_set))
    assert instance.key.study_instance_uid == "1.2.3.4"
    assert instance.received_at == NOW
    assert instance.attributes["Modality"] == "CT"
    assert instance.identity.patient_id == "4711"
    assert (instance.calling_ae_title, instance.address) == ("CT1", "10.1.2.3")


def test_the_same_again_is_a_success_and_so_is_other_content(
    handler: StoreHandler, store: MemoryStore
) -> None:
    answers = [
        handler(one) for one in (REQUEST, REQUEST, changed(StudyDate="20250101"))
    ]
    assert {answer.status for answer in answers} == {0}
    assert len(store.files) == 2


@pytest.mark.parametrize("padding", ["\0", " ", "\0\0", " \0"])
def test_padding_of_the_commands_uids_does_not_matter(
    handler: StoreHandler, intake: MemoryIntake, padding: str
) -> None:
    padded = replace(
        REQUEST,
        sop_class_uid=REQUEST.sop_class_uid + padding,
        sop_instance_uid=REQUEST.sop_instance_uid + padding,
    )
    assert handler(padded).status == Status.SUCCESS
    assert intake.instances[0].key.sop_instance_uid == "1.2.3.4.5.6"


@pytest.mark.parametrize(
    ("request_", "status", "word"),
    [
        (changed(SOPInstanceUID="1.2.9"), 0xA900, "Instance UIDs of command"),
        (changed(SOPClassUID="1.2.840.10008.5.1.4.1.1.4"), 0xA900, "Class UIDs"),
        (replace(REQUEST, data_set=b""), 0xC000, "no Study or Series"),
        (replace(REQUEST, data_set=b"\xff" * 99), 0xC000, "no Study or Series"),
        (changed(StudyInstanceUID=""), 0xC000, "no Study or Series"),
        (changed(SeriesInstanceUID=""), 0xC000, "no Study or Series"),
        (changed(StudyInstanceUID="../../etc"), 0xC000, "is not a UID"),
        (changed(SeriesInstanceUID="1..2"), 0xC000, "is not a UID"),
    ],
)
def test_what_cannot_be_placed_is_refused_and_said_so(
    handler: StoreHandler,
    store: MemoryStore,
    intake: MemoryIntake,
    request_: StoreRequest,
    status: int,
    word: str,
) -> None:
    with capture_logs() as logs:
        answer = handler(request_)
    assert answer.status == status
    assert word in answer.comment
    assert "send it again" in answer.comment
    assert not store.files
    assert not intake.instances
    (refusal,) = intake.refusals
    assert (refusal.at, refusal.status, refusal.reason) == (NOW, status, answer.comment)
    assert refusal.calling_ae_title == "CT1"
    assert [line["status"] for line in logs] == [f"0x{status:04X}"]


@pytest.mark.parametrize("uid", ["../../../tmp/x", "/etc/passwd", "", "1" * 65, "CON"])
def test_a_hostile_uid_of_the_command_is_refused(
    handler: StoreHandler, store: MemoryStore, uid: str
) -> None:
    ds = dataset()
    del ds.SOPInstanceUID
    hostile = replace(REQUEST, sop_instance_uid=uid, data_set=encoded(ds, SYNTAX))
    assert handler(hostile).status == Status.CANNOT_UNDERSTAND
    assert not store.files


def test_a_data_set_without_its_own_uids_goes_by_the_command(
    handler: StoreHandler, intake: MemoryIntake
) -> None:
    ds = dataset()
    del ds.SOPInstanceUID
    del ds.SOPClassUID
    answer = handler(replace(REQUEST, data_set=encoded(ds, SYNTAX)))
    assert answer.status == Status.SUCCESS
    assert intake.instances[0].key.sop_instance_uid == "1.2.3.4.5.6"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreFull("the disk is full; free space"), 0xA700),
        (ReceiveError("the store could not write; check its disk", 0xA700), 0xA700),
        (ReceiveError("something; do that"), 0x0110),
        (ValueError("Doe^John is no number"), 0x0110),
        (MemoryError(), 0x0110),
    ],
)
def test_a_failing_store_is_never_a_success(
    intake: MemoryIntake, error: Exception, status: int
) -> None:
    handler = StoreHandler(FailingStore(error), intake, FixedClock())
    with capture_logs() as logs:
        answer = handler(REQUEST)
    assert answer.status == status
    assert not intake.instances
    assert intake.refusals[0].status == status
    assert "Doe" not in f"{logs}{intake.refusals}{answer}"


def test_a_failing_worklist_is_never_a_success(
    handler: StoreHandler, intake: MemoryIntake
) -> None:
    intake.failing = True
    with capture_logs() as logs:
        answer = handler(REQUEST)
    assert answer.status == Status.PROCESSING_FAILURE
    assert "end the program that holds it" in answer.comment
    assert [line["event"] for line in logs] == [
        *("receiver.c_store", "receiver.refusal_not_recorded")
    ]
    intake.failing = False
    assert handler(REQUEST).status == Status.SUCCESS


def test_one_line_each_and_no_patient_in_it(handler: StoreHandler) -> None:
    with capture_logs() as logs:
        handler(REQUEST)
    (line,) = logs
    assert line["event"] == "receiver.c_store"
    assert line["status"] == "0x0000"
    assert line["outcome"] == "new"
    assert line["n_bytes"] == len(bytes(REQUEST.data_set))
    assert not any(name in str(line) for name in ("Müller", "山田", "4711"))
