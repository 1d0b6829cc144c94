"""The same study through two fresh nodes: nothing differs but the instants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.domain.delivery import NewResult, Outgoing
from dicomnode.domain.job import Outcome
from dicomnode.domain.rules import Rule
from dicomnode.predictor import BundlePredictor
from dicomnode.store import LocalStore
from dicomnode.worker.pipeline import DestinationProfile, Pipeline, PipelineSpec
from tests.contract.worklist.making import current, new_job
from tests.integration.delivering import NOON, Desk, delivering, our_receiver
from tests.integration.rig import copy_as
from tests.unit.results import cases

BUNDLE = Path(__file__).resolve().parents[2] / "model" / "bundles" / "cxr-qc"
SOURCE = "dicom/cxr_wrapped_derived/nih_cxr14_00_evrle.dcm"
DESTINATION = DestinationProfile("PACS", "comprehensive")
SPEC = PipelineSpec(Rule("cxr", {}), ("sr", "sc", "gsps"), (DESTINATION,))
# A header that turns black and white around: the model says so, with a heat map.
WRONG = {
    "PhotometricInterpretation": "MONOCHROME1",
    "PresentationLUTShape": "INVERSE",
}
# Another day, and another minute and second of it.
LATER = timedelta(days=40, hours=3, minutes=7, seconds=11)
INSTANTS = {"DA", "TM", "DT"}


@dataclass(frozen=True)
class Ran:
    """What one node kept of the study."""

    folder: Path
    results: tuple[NewResult, ...]

    def read(self) -> list[Dataset]:
        root = self.folder / "results"
        return [dcmread(root / one.location) for one in self.results]


def run(
    folder: Path, source: Path, later: timedelta, predictor: BundlePredictor
) -> Ran:
    """Receive, record, route, claim, analyse and finish in an empty folder."""
    folder.mkdir()
    with delivering(folder) as desk:
        desk.clock.at = NOON + later
        study = receive(desk, folder, source)
        now = desk.clock.at
        assert desk.worklist.studies.complete(current(desk.worklist, study), now)
        arrived = current(desk.worklist, study)
        assert desk.worklist.studies.route(arrived, [new_job(study)], "", now)
        (job,) = desk.worklist.jobs.claim("w1", ["cxr"], now, 60)
        instances = LocalStore(folder / "instances", 99)
        pipeline = Pipeline(SPEC, predictor, instances, desk.results, cases.NODE)
        analysis = pipeline.analyse(job, desk.worklist.jobs.instances(study))
        assert analysis.outcome is Outcome.ANALYSED
        desk.worklist.jobs.finish(
            job, analysis.outcome, analysis.reason, analysis.results, now
        )
    return Ran(folder, analysis.results)


def receive(desk: Desk, folder: Path, source: Path) -> str:
    """Send a file to the node's receiver; its StudyInstanceUID."""
    header = dcmread(source, stop_before_pixels=True)
    syntax = header.file_meta.TransferSyntaxUID
    sent = Outgoing(source, header.SOPClassUID, header.SOPInstanceUID, syntax)
    with our_receiver(desk, folder) as scp:
        peer = Peer("DICOMNODE", "127.0.0.1", scp.port, "MODALITY")
        (answer,) = StorageScu(peer, desk.clock).send([sent])
    assert answer.accepted
    return str(header.StudyInstanceUID)


@pytest.fixture(scope="module")
def ran(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Ran]:
    """At noon, and much later with a model loaded anew."""
    folder = tmp_path_factory.mktemp("same")
    source = copy_as(shared_data / SOURCE, folder / "sent.dcm", **WRONG)
    return (
        run(folder / "first", source, timedelta(), BundlePredictor(BUNDLE)),
        run(folder / "later", source, LATER, BundlePredictor(BUNDLE)),
    )


def differences(one: Dataset, other: Dataset) -> Iterator[tuple[str, str]]:
    """(keyword or tag, VR) of each element, in any depth, that is not the same."""
    for tag in sorted(one.keys() | other.keys()):
        if tag not in one or tag not in other:
            yield str(tag), "missing"
            continue
        mine, its = one[tag], other[tag]
        if mine.VR == its.VR == "SQ" and len(mine.value) == len(its.value):
            for item, its_item in zip(mine.value, its.value, strict=True):
                yield from differences(item, its_item)
        elif mine != its:
            yield mine.keyword or str(tag), mine.VR


def test_two_fresh_nodes_give_the_same_instances(ran: tuple[Ran, Ran]) -> None:
    # UIDs are of the content without its dates, so that they are the same.
    told = [
        [(one.kind, one.sop_instance_uid, one.series_instance_uid) for one in each]
        for each in (ran[0].results, ran[1].results)
    ]
    assert told[0] == told[1]
    assert [kind for kind, _, _ in told[0]] == ["sr", "sr-text", "sc", "sc", "gsps"]


def test_another_day_changes_the_dates_and_nothing_else(ran: tuple[Ran, Ran]) -> None:
    for one, other in zip(ran[0].read(), ran[1].read(), strict=True):
        assert one.file_meta == other.file_meta
        found = set(differences(one, other))
        assert {vr for _, vr in found} <= INSTANTS, found
        assert ("InstanceCreationDate", "DA") in found


def test_the_heat_map_of_a_real_radiograph_has_its_resolution(
    ran: tuple[Ran, Ran],
) -> None:
    pages = [one for one in ran[0].read() if "Rows" in one]
    rows = dcmread(ran[0].folder.parent / "sent.dcm").Rows
    assert pages[0].Rows < pages[1].Rows
    assert pages[1].Rows > rows
