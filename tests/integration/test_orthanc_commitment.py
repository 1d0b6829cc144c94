"""Storage commitment with a real Orthanc, in both directions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from dicomnode.delivery.commitment_scu import CommitmentScu
from dicomnode.delivery.confirmation import Confirmer, ConfirmPolicy
from dicomnode.delivery.outbox import Courier, RetryPolicy
from dicomnode.delivery.storage_scu import Peer as Called
from dicomnode.delivery.storage_scu import StorageScu
from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.program import free_port, wait_until
from dicomnode.receiver.peers import Peer
from dicomnode.receiver.scp import StorageSCP
from tests.integration.delivering import Desk, delivering, our_receiver

pytestmark = pytest.mark.peer

CT = Path(get_testdata_file("CT_small.dcm"))
HANG_SECONDS = 300


@dataclass
class Together:
    """Our receiver and worklist, and an Orthanc that knows where we listen."""

    desk: Desk
    receiver: StorageSCP
    orthanc: Orthanc

    def wait(self, ready: Any, what: str) -> None:
        log = self.orthanc.folder / "orthanc.log"
        assert wait_until(ready, lambda: None, HANG_SECONDS), (
            f"waited in vain for {what}: {log.read_text(errors='replace')[-4000:]}"
        )


@pytest.fixture
def together(tmp_path: Path, require_command: Any) -> Iterator[Together]:
    require_command("Orthanc")
    with ExitStack() as stack:
        desk = stack.enter_context(delivering(tmp_path))
        known = [Peer("ORTHANC", ("127.0.0.1",), port=free_port())]
        receiver = stack.enter_context(our_receiver(desk, tmp_path, known))
        orthanc = stack.enter_context(
            Orthanc(
                tmp_path / "orthanc",
                {"node": Modality("DICOMNODE", receiver.port)},
                settings={"DicomPort": known[0].port},
            )
        )
        yield Together(desk, receiver, orthanc)


def test_orthanc_commits_to_our_results(together: Together) -> None:
    desk, orthanc = together.desk, together.orthanc
    job = desk.finished(["sr"])
    port = json.loads((orthanc.folder / "orthanc.json").read_text())["DicomPort"]
    called = Called("ORTHANC", "127.0.0.1", port, "DICOMNODE", 20)
    courier = Courier(
        "PACS",
        desk.worklist.outbox,
        desk.results,
        StorageScu(called, desk.clock),
        desk.clock,
        RetryPolicy((10,), confirm=True),
    )

    def note(answer: Any) -> bool:
        return desk.worklist.commitments.answer(answer, desk.clock.now())

    confirmer = Confirmer(
        "PACS",
        desk.worklist.commitments,
        desk.worklist.absences,
        CommitmentScu(called, note),
        desk.clock,
        ConfirmPolicy((10,), required=True),
    )
    assert courier.run_once() == 2
    assert confirmer.run_once() == 2
    together.wait(
        lambda: set(desk.states().values()) == {"COMMITTED"}, "the commitment"
    )
    assert desk.events().count("delivery commit") == 2
    # What it does not have it names; we send it again, and then it commits.
    [study] = {row["study_instance_uid"] for row in desk.worklist.views.worklist()}
    for one in orthanc.instances(study):
        orthanc.delete(one)
    desk.worklist.desk.resend_deliveries(job.job_id, desk.clock.now())
    for delivery in desk.worklist.outbox.due("PACS", desk.clock.now(), 1, 10):
        now = desk.clock.now()
        desk.worklist.outbox.sent(delivery, 0x0000, now, check_at=now)
    confirmer.run_once()
    together.wait(lambda: confirmer.run_once() == 2, "the failure")
    assert set(desk.states().values()) == {"PENDING"}
    assert "0x0112" in str(desk.rows()["sr"]["error"])
    desk.clock.move(10)
    courier.run_once()
    confirmer.run_once()
    together.wait(
        lambda: set(desk.states().values()) == {"COMMITTED"}, "the second commitment"
    )
    assert len(orthanc.instances(study)) == 2


def test_orthanc_asks_us_and_is_answered(together: Together) -> None:
    orthanc = together.orthanc
    source = orthanc.upload(CT.read_bytes())
    orthanc.store("node", [source])
    report = orthanc.ask_for_commitment("node", [source])
    assert report["Status"] == "Success", report
    assert len(report["Success"]) == 1
    missing = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "SOPInstanceUID": "1.2.3",
    }
    report = orthanc.ask_for_commitment("node", [], [missing])
    assert report["Status"] == "Failure", report
    [failed] = report["Failures"]
    assert failed["FailureReason"] == 0x0112
