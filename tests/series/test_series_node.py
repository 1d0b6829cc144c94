"""CT through the whole chain: DCMTK sends, the node works, Orthanc keeps the report."""

from __future__ import annotations

import io
from shutil import copytree

import pytest
from pydicom import dcmread

from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.program import free_port
from model.phantom_ct import scan
from tests.integration.rig import Node, storescu
from tests.series import ct
from tests.series.test_series_pipeline import images_of_groups, texts

pytestmark = pytest.mark.peer

PIPELINE = """
[[pipeline]]
name = "ct-nodule"
bundle = "ct-nodule"
match = { Modality = "CT" }
results = ["sr", "sc"]
destinations = ["PACS"]
"""
SLICES = 60


@pytest.fixture(scope="module")
def pacs_and_node(tmp_path_factory, require_command, ct_bundle):
    for name in ("Orthanc", "storescu", "echoscu"):
        require_command(name)
    folder = tmp_path_factory.mktemp("ct-chain")
    port = free_port()
    with Orthanc(folder / "orthanc", {"node": Modality("DICOMNODE", port)}) as orthanc:
        node = Node(folder / "node", orthanc.dicom_port, port=port, quiet_seconds=600)
        text = node.config.read_text()
        before, cxr, after = text.partition("[[destination]]")
        node.config.write_text(before + PIPELINE + cxr + after)
        copytree(ct_bundle, folder / "node" / "var" / "bundles" / "ct-nodule")
        with node.running():
            yield orthanc, node


def reports(orthanc, study):
    files = [dcmread(io.BytesIO(file)) for file in orthanc.files(study)]
    return [ds for ds in files if ds.get("Manufacturer") == "dicomnode"]


def test_the_report_in_the_archive_names_the_slices(pacs_and_node, tmp_path):
    orthanc, node = pacs_and_node
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    assert storescu(node.port, ct.write_series(found, tmp_path)).returncode == 0
    node.complete(ct.STUDY)
    [row] = node.settle([ct.STUDY])
    assert (row["job_state"], row["outcome"]) == ("COMPLETED", "ANALYSED"), row
    results = reports(orthanc, ct.STUDY)
    [report] = [ds for ds in results if ds.SOPClassUID.endswith("88.33")]
    named = {int(uid.rpartition(".")[2]) - 1 for uid, _ in images_of_groups(report)}
    inside = set(found.sphere.slices(SLICES, found.spacing_mm))
    assert len(named & inside) >= len(inside) - 3
    assert named <= inside | {min(inside) - 1, max(inside) + 1}
    assert any("most in slice" in text for text in texts(report))
    assert sum(ds.Modality == "OT" for ds in results) == 2
