"""MR through the whole chain: several sequences sent by DCMTK, one of them analysed."""

from __future__ import annotations

from collections import defaultdict
from shutil import copytree

import pytest

from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.program import free_port
from model.phantom_ct import scan
from tests.integration.rig import Node, dcmsend
from tests.peers.test_results_validators import (
    complaints,
    dcmpschk_passes,
    output_of,
    said_by_pixelmed,
)
from tests.series import ct, mr
from tests.series.test_series_node import reports
from tests.series.test_series_pipeline import images_of_groups, texts

pytestmark = pytest.mark.peer

PIPELINE = """
[[pipeline]]
name = "mr-nodule"
bundle = "mr-nodule"
match = { Modality = "MR" }
results = ["sr", "sc", "gsps"]
destinations = ["PACS"]
"""
SLICES = 40
SCOUT = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesDescription": "loc"}
PER_SLICE, PER_FRAME = f"{ct.STUDY}.31", f"{ct.STUDY}.32"
BOTH = PER_SLICE, PER_FRAME


@pytest.fixture(scope="module")
def found():
    return scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)


@pytest.fixture(scope="module")
def archived(tmp_path_factory, require_command, mr_bundle, found):
    """Both studies sent and done with: rows of the worklist, objects of the archive."""
    for name in ("Orthanc", "dcmsend", "echoscu"):
        require_command(name)
    folder = tmp_path_factory.mktemp("mr-chain")
    sent = studies(folder / "sent", found)
    port = free_port()
    with Orthanc(folder / "orthanc", {"node": Modality("DICOMNODE", port)}) as orthanc:
        node = Node(folder / "node", orthanc.dicom_port, port=port, quiet_seconds=600)
        before, cxr, after = node.config.read_text().partition("[[destination]]")
        node.config.write_text(before + PIPELINE + cxr + after)
        copytree(mr_bundle, folder / "node" / "var" / "bundles" / "mr-nodule")
        with node.running():
            for study, paths in zip(BOTH, sent, strict=True):
                assert dcmsend(node.port, paths).returncode == 0
                node.complete(study)
            rows = {r["study_instance_uid"]: r for r in node.settle(BOTH)}
        yield {uid: (row, reports(orthanc, uid)) for uid, row in rows.items()}


def studies(folder, found):
    """One study whose FLAIR is slices, one whose FLAIR is an Enhanced MR object."""
    folder, other = folder / "slices", folder / "frames"
    of = {"StudyInstanceUID": PER_SLICE}
    mr.write_series(found, folder, 2, SeriesDescription="AX T1", gain=1.3, **of)
    mr.write_series(found, folder, 3, gain=0.7, offset=300, **mr.FLAIR, **of)
    scout = mr.slice_of(found, 0, 1, **SCOUT, **of)
    ct.write(scout, folder / "scout.dcm")
    whole = mr.enhanced(found, 5, SeriesDescription="T2 3D", **of)
    ct.write(whole, folder / "t2.dcm")
    of = {"StudyInstanceUID": PER_FRAME}
    mr.write_series(found, other, 12, SeriesDescription="AX T1", **of)
    whole = mr.enhanced(found, 15, SeriesDescription="FLAIR 3D", **of)
    ct.write(whole, other / "flair.dcm")
    return [sorted(one.iterdir()) for one in (folder, other)]


def report_of(results):
    [report] = [ds for ds in results if ds.SOPClassUID.endswith("88.33")]
    return report


def around(found):
    inside = set(found.sphere.slices(SLICES, found.spacing_mm))
    return inside | {min(inside) - 1, max(inside) + 1}


def test_of_several_sequences_the_right_one_is_analysed(archived, found):
    row, results = archived[PER_SLICE]
    assert (row["job_state"], row["outcome"]) == ("COMPLETED", "ANALYSED"), row
    report = report_of(results)
    named = [uid for uid, _ in images_of_groups(report)]
    assert {uid.split(".")[-2] for uid in named} == {"3"}
    assert {int(uid.rpartition(".")[2]) - 1 for uid in named} <= around(found)
    said = "\n".join(texts(report))
    assert "Analysed: series 3 (40 slices of 5 mm)" in said
    assert "most in slice" in said
    other = "by its SeriesDescription it is not one the model was made for"
    assert f"series 2 (40 slices of 5 mm): {other}" in said
    assert f"series 5 (40 slices of 5 mm): {other}" in said
    assert "series 1 (1 slices): a localizer is not one" in said


def test_frames_of_an_enhanced_object_drive_the_report(archived, found):
    row, results = archived[PER_FRAME]
    assert (row["job_state"], row["outcome"]) == ("COMPLETED", "ANALYSED"), row
    [(uid, frames)] = images_of_groups(report_of(results))
    assert uid == f"{ct.STUDY}.15.1"
    assert frames
    assert {SLICES - number for number in frames} <= around(found)
    [state] = [ds for ds in results if ds.Modality == "PR"]
    [image] = state.ReferencedSeriesSequence[0].ReferencedImageSequence
    assert image.ReferencedSOPInstanceUID == uid
    assert image.ReferencedFrameNumber in frames


@pytest.fixture(scope="module")
def kept(archived, tmp_path_factory):
    """Modality -> files of the archive's results of both studies."""
    files = defaultdict(list)
    for _, results in archived.values():
        for ds in results:
            path = tmp_path_factory.mktemp("kept") / f"{ds.SOPInstanceUID}.dcm"
            ds.save_as(path, enforce_file_format=True)
            files[ds.Modality].append(path)
    assert files.keys() == {"SR", "OT", "PR"}
    return files


def test_dciodvfy_finds_no_fault_in_what_the_archive_keeps(require_command, kept):
    dciodvfy = require_command("dciodvfy")
    for path in (one for some in kept.values() for one in some):
        lines = output_of([dciodvfy, path])
        assert not complaints(lines, "Error"), lines
        assert not complaints(lines, "Warning"), lines


def test_pixelmed_finds_no_error_in_the_reports(kept):
    for name, lines in said_by_pixelmed(kept["SR"]).items():
        assert "IOD validation complete" in lines, name
        assert not complaints(lines, "Error"), (name, lines)


def test_dcmtk_takes_the_presentation_states(require_command, kept):
    require_command("dcmpschk")
    for path in kept["PR"]:
        dcmpschk_passes(path)
