"""Things break in the middle of it all; the end is the same."""

from __future__ import annotations

import io
from threading import Thread

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.program import free_port
from tests.integration.rig import Node, copy_as, storescu

pytestmark = [pytest.mark.peer, pytest.mark.slow]

SOURCE = "dicom/cxr_wrapped_derived/nih_cxr14_00_evrle.dcm"


@pytest.fixture
def pacs(tmp_path, require_command):
    for name in ("Orthanc", "storescu", "echoscu"):
        require_command(name)
    port = free_port()
    return port, orthanc_on(tmp_path, port)


def orthanc_on(folder, port):
    return Orthanc(
        folder / "orthanc",
        {"node": Modality("DICOMNODE", free_port())},
        settings={"DicomPort": port},
    )


def studies(shared_data, folder, count):
    """``count`` studies of one real radiograph: StudyInstanceUID -> path."""
    made = {}
    for number in range(count):
        uid = generate_uid()
        made[str(uid)] = copy_as(
            shared_data / SOURCE,
            folder / f"{number}.dcm",
            StudyInstanceUID=uid,
            SeriesInstanceUID=generate_uid(),
            SOPInstanceUID=generate_uid(),
        )
    return made


def assert_each_exactly_once(node, orthanc, sent):
    rows = node.settle(sent)
    assert sorted(row["study_instance_uid"] for row in rows) == sorted(sent)
    assert {row["outcome"] for row in rows} == {"ANALYSED"}
    kept = node.kept()
    for uid, path in sent.items():
        source = dcmread(path, stop_before_pixels=True)
        assert len(kept[str(source.SOPInstanceUID)]) == 1
        results = [dcmread(io.BytesIO(file)) for file in orthanc.files(uid)]
        kinds = sorted((str(ds.SOPClassUID), str(ds.SOPInstanceUID)) for ds in results)
        due = [d for d in node.views.deliveries() if d["job_id"] in job_of(rows, uid)]
        assert sorted(d["sop_instance_uid"] for d in due) == sorted(u for _, u in kinds)
        assert {d["state"] for d in due} <= {"SENT", "COMMITTED"}
        reports = [one for one, _ in kinds if one.endswith(".88.33")]
        assert len(reports) == 1


def job_of(rows, uid):
    return {row["job_id"] for row in rows if row["study_instance_uid"] == uid}


def test_results_wait_for_a_pacs_that_is_down_and_go_out_once(
    pacs, shared_data, tmp_path
):
    sent = studies(shared_data, tmp_path, 2)
    port, orthanc = pacs
    node = Node(tmp_path / "node", port)
    with node.running():
        storescu(node.port, list(sent.values()))
        node.wait(lambda: waiting(node) >= 4, "deliveries that were tried and wait")
        assert {d["state"] for d in node.views.deliveries()} == {"PENDING"}
        with orthanc:
            assert_each_exactly_once(node, orthanc, sent)


def waiting(node):
    """Results for a destination that was tried and not reached."""
    return sum(one["n_waiting"] for one in node.views.absences())


@pytest.mark.parametrize("role", ["receive", "keep", "work", "deliver"])
def test_a_role_that_is_killed_changes_nothing_in_the_end(
    role, pacs, shared_data, tmp_path
):
    sent = studies(shared_data, tmp_path, 6)
    port, orthanc = pacs
    with orthanc:
        node = Node(tmp_path / "node", port)
        with node.running():
            sender = Thread(target=send_until_accepted, args=(node, sent))
            sender.start()
            node.wait(lambda: node.rows() != [], "the first study")
            node.kill(role)
            sender.join()
            assert_each_exactly_once(node, orthanc, sent)
            node.wait(lambda: restarted(node, role), f"{role} to be started again")


def restarted(node, role):
    starts, ends = (
        [one for one in node.said(f"supervisor.{event}") if one["role"] == role]
        for event in ("started", "role_ended")
    )
    return len(starts) > len(ends) > 0


def test_the_supervisor_killed_takes_its_roles_along_and_starts_again(
    pacs, shared_data, tmp_path
):
    sent = studies(shared_data, tmp_path, 4)
    port, orthanc = pacs
    with orthanc:
        node = Node(tmp_path / "node", port)
        with node.running():
            storescu(node.port, list(sent.values()))
            node.kill("run")
            node.wait_gone()
        with node.running():
            assert_each_exactly_once(node, orthanc, sent)


def send_until_accepted(node, sent):
    """A modality keeps what was not answered with Success and sends it again."""
    waiting = list(sent.values())

    def all_accepted():
        while waiting and storescu(node.port, waiting[:1], "-to", "5").returncode == 0:
            waiting.pop(0)
        return not waiting

    node.wait(all_accepted, "every instance to be accepted")
