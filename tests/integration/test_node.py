"""The whole chain with real peers: DCMTK sends, the node works, Orthanc keeps."""

from __future__ import annotations

import io
import os

import pytest
from pydicom import dcmread
from pydicom.misc import is_dicom
from pydicom.uid import generate_uid

from dicomnode.delivery import outgoing
from dicomnode.delivery.storage_scu import StorageScu
from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.program import free_port
from dicomnode.processes.clock import SystemClock
from tests.integration.rig import Node, copy_as, data_set, dcmsend, storescu

pytestmark = pytest.mark.peer

SR = ("1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.11")
SC = "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture(scope="module")
def pacs_and_node(tmp_path_factory, require_command):
    """A real Orthanc and a running node that know each other."""
    for name in ("Orthanc", "dcmsend", "storescu", "echoscu"):
        require_command(name)
    folder = tmp_path_factory.mktemp("chain")
    port = free_port()
    modalities = {"node": Modality("DICOMNODE", port)}
    with Orthanc(folder / "orthanc", modalities) as orthanc:
        node = Node(folder / "node", orthanc.dicom_port, port=port)
        with node.running():
            yield orthanc, node


def results_of(orthanc, study_instance_uid):
    files = orthanc.files(study_instance_uid)
    datasets = [dcmread(io.BytesIO(file)) for file in files]
    return [ds for ds in datasets if ds.get("Manufacturer") == "dicomnode"]


def good_files(shared_data):
    """All themes but malformed/; without file meta no modality tool can send a file."""
    for path in sorted((shared_data / "dicom").rglob("*.dcm")):
        if "malformed" not in path.parts and is_dicom(path):
            yield path


def test_every_study_has_its_report_or_its_reason(pacs_and_node, shared_data):
    orthanc, node = pacs_and_node
    paths = list(good_files(shared_data))
    dcmsend(node.port, paths, "--multi-associations")
    headers = [dcmread(path, stop_before_pixels=True, force=True) for path in paths]
    studies = {
        str(ds.StudyInstanceUID): ds for ds in headers if "StudyInstanceUID" in ds
    }
    rows = node.settle(studies)
    by_study = {row["study_instance_uid"]: row for row in rows}
    reported = 0
    for uid, source in studies.items():
        row = by_study[uid]
        if row["study_state"] == "NOT_ROUTED":
            assert row["reason"], uid
            continue
        assert row["job_state"] == "COMPLETED", (uid, row["error"])
        assert row["outcome"] in ("ANALYSED", "NOT_ANALYSED")
        assert bool(row["reason"]) == (row["outcome"] == "NOT_ANALYSED")
        results = results_of(orthanc, uid)
        assert {str(ds.SOPClassUID) for ds in results} >= set(SR), uid
        for ds in results:
            assert ds.get("PatientID", "") == source.get("PatientID", "")
            assert ds.StudyInstanceUID == uid
        reported += 1
    assert reported >= 15
    # Files without a Study Instance UID cannot be kept: refused, and said so.
    homeless = [
        ds for ds in headers if "StudyInstanceUID" not in ds and "SOPClassUID" in ds
    ]
    refused = {event["detail"] for event in node.events("instance refuse")}
    assert len(homeless) >= 8
    assert any("0xC000" in detail and "Study" in detail for detail in refused)


def test_each_file_is_kept_byte_for_byte_in_its_own_syntax(pacs_and_node, shared_data):
    """DCMTK may convert between uncompressed syntaxes; our SCU sends what is there."""
    _, node = pacs_and_node
    folders = sorted((shared_data / "dicom").glob("transfer_syntax*"))
    files = [
        path
        for folder in folders
        for path in sorted(folder.glob("*.dcm"))
        if is_dicom(path) and "StudyInstanceUID" in dcmread(path)
    ]
    assert len(folders) == 3
    assert len(files) >= 60
    outgoings = [outgoing.read(path) for path in files]
    answers = StorageScu(node.as_peer("MODALITY"), SystemClock()).send(outgoings)
    kept = node.kept()
    for path, sent, answer in zip(files, outgoings, answers, strict=True):
        if answer.status == 0xA900:  # file meta and data set name two instances
            assert dcmread(path).SOPInstanceUID != sent.sop_instance_uid
            continue
        assert answer.accepted, (path.name, answer.error)
        there = [data_set(one) for one in kept[sent.sop_instance_uid]]
        assert data_set(path) in there, path.name


def test_a_study_sent_twice_is_analysed_once(pacs_and_node, shared_data, tmp_path):
    orthanc, node = pacs_and_node
    path, study = a_new_study(shared_data, tmp_path)
    storescu(node.port, [path])
    [first] = node.settle([study])
    before = {str(ds.SOPInstanceUID) for ds in results_of(orthanc, study)}
    assert storescu(node.port, [path]).returncode == 0
    assert node.settle([study]) == [first]
    after = {str(ds.SOPInstanceUID) for ds in results_of(orthanc, study)}
    assert before == after
    assert first["attempts"] == 1


def test_a_late_image_opens_a_new_revision(pacs_and_node, shared_data, tmp_path):
    orthanc, node = pacs_and_node
    path, study = a_new_study(shared_data, tmp_path)
    storescu(node.port, [path])
    node.settle([study])
    late = copy_as(path, tmp_path / "late.dcm", SOPInstanceUID=generate_uid())
    storescu(node.port, [late])
    node.wait(lambda: revisions(node, study) == [1, 2], "the second revision")
    rows = node.settle([study])
    assert [row["outcome"] for row in rows] == ["ANALYSED", "ANALYSED"]
    reports = [ds for ds in results_of(orthanc, study) if ds.SOPClassUID == SR[0]]
    assert sorted(int(ds.InstanceNumber) for ds in reports) == [1, 2]


def test_an_unknown_calling_ae_is_refused_with_the_line_that_admits_it(
    pacs_and_node, shared_data, tmp_path
):
    _, node = pacs_and_node
    path, study = a_new_study(shared_data, tmp_path)
    sent = storescu(node.port, [path], aet="STRANGER")
    assert sent.returncode != 0
    [refused] = [
        row
        for row in node.views.associations(refused_only=True)
        if row["calling_ae_title"] == "STRANGER"
    ]
    assert 'ae_title = "STRANGER"' in refused["remedy"]
    assert study not in {row["study_instance_uid"] for row in node.rows()}


def test_orthanc_as_the_sender_gets_its_report_and_no_loop(
    pacs_and_node, shared_data, tmp_path
):
    orthanc, node = pacs_and_node
    path, study = a_new_study(shared_data, tmp_path)
    source = orthanc.upload(path.read_bytes())
    orthanc.store("node", [source])
    [row] = node.settle([study])
    assert (row["calling_ae_title"], row["outcome"]) == ("ORTHANC", "ANALYSED")
    everything = orthanc.instances(study)
    assert len(everything) > 1
    # A PACS that routes all it stores sends our own results back to us.
    orthanc.store("node", everything)
    node.wait(
        lambda: len(own_instances(node, study)) == len(everything),
        "the results to come back",
    )
    assert node.settle([study]) == [row]
    assert revisions(node, study) == [1]


def test_delivered_means_kept(pacs_and_node, shared_data, tmp_path):
    """Orthanc promises to keep the results, on an association of its own to us."""
    _, node = pacs_and_node
    path, study = a_new_study(shared_data, tmp_path)
    assert storescu(node.port, [path]).returncode == 0
    [row] = node.settle([study])

    def sent():
        return node.views.deliveries(row["job_id"])

    node.wait(
        lambda: {one["state"] for one in sent()} == {"COMMITTED"}, "the commitment"
    )
    for one in sent():
        assert one["committed_at"] >= one["sent_at"]
        assert one["transaction_uid"].startswith("2.25.")
    used = {one["result_kind"]: one["profile_used"] for one in sent()}
    assert used["sr"] == "comprehensive"
    assert used["sr-text"] == "basic-text"


def test_malformed_files_are_stored_or_refused_and_the_node_goes_on(
    pacs_and_node, shared_data
):
    _, node = pacs_and_node
    paths = sorted((shared_data / "dicom" / "malformed").rglob("*.dcm"))
    assert len(paths) == 118
    dcmsend(node.port, paths)
    for path in paths[::4]:
        storescu(node.port, [path], "-R")
    assert node.echoes()
    var = node.folder / "var"
    places = {path.relative_to(var).parts[0] for path in var.rglob("*.dcm")}
    assert "instances" in places
    assert places <= {"instances", "results"}
    assert list(node.folder.glob("*.dcm")) == []
    node.settle({row["study_instance_uid"] for row in node.rows()})
    assert all(row["job_state"] != "FAILED" for row in node.rows())


def test_no_patient_is_named_in_the_logs(pacs_and_node, shared_data):
    _, node = pacs_and_node
    log = (node.folder / "node.log").read_text("utf-8", errors="replace")
    assert "receiver.c_store" in log
    for path in good_files(shared_data):
        ds = dcmread(path, stop_before_pixels=True)
        for keyword in ("PatientName", "PatientID"):
            value = str(ds.get(keyword) or "")
            # Bare numbers and short texts occur in UIDs and words that name nobody.
            if len(value) >= 6 and not value.replace(".", "").isdigit():
                assert value not in log, keyword


def test_the_receiver_never_loads_torch(pacs_and_node):
    _, node = pacs_and_node
    for role in ("receive", "keep", "deliver"):
        [pid] = [pid for pid, words in node.processes() if role in words]
        with open(f"/proc/{pid}/maps") as maps:
            assert "libtorch" not in maps.read(), role


def a_new_study(shared_data, folder):
    """A real chest radiograph as a study of its own: (path, StudyInstanceUID)."""
    source = shared_data / "dicom/cxr_wrapped_derived/nih_cxr14_00_evrle.dcm"
    study = generate_uid()
    path = copy_as(
        source,
        folder / f"{os.urandom(4).hex()}.dcm",
        StudyInstanceUID=study,
        SeriesInstanceUID=generate_uid(),
        SOPInstanceUID=generate_uid(),
    )
    return path, str(study)


def revisions(node, study):
    return sorted(
        r["revision"] for r in node.rows() if r["study_instance_uid"] == study
    )


def own_instances(node, study):
    return [
        one for files in node.kept().values() for one in files if study in one.parts
    ]
