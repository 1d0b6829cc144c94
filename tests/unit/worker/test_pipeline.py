"""A job becomes results: kept once, named as replacing, the same every time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.domain.delivery import NewResult
from dicomnode.domain.findings import NotAnalysed, Presence
from dicomnode.domain.instance import Instance, InstanceKey
from dicomnode.domain.job import Job, Outcome
from dicomnode.domain.ownership import INSTANCE_CREATOR_UID
from dicomnode.domain.result import KeptResult
from dicomnode.domain.rules import Rule
from dicomnode.errors import ResultError, WorklistError
from dicomnode.results.encoding import encode_data_set
from dicomnode.worker.pipeline import (
    DestinationProfile,
    Listeners,
    Pipeline,
    PipelineSpec,
)
from tests.contract.fakes import MemoryStore
from tests.unit.results import cases

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
JOB = Job("j1", cases.STUDY, 1, "cxr", 0, 1, "w", NOON, NOON)
LATER = replace(JOB, job_id="j2", revision=2)
RULE = Rule("cxr", {"Modality": ["DX"]})
SPEC = PipelineSpec(RULE, ("sr", "sc"), (DestinationProfile("PACS", "comprehensive"),))


class Predictor:
    """Finds in every image what the test says."""

    def __init__(self, findings=cases.positive) -> None:
        self.findings = findings

    def describe(self):
        return cases.BUNDLE

    def predict(self, images, priority=0):
        if isinstance(self.findings, str):
            return [NotAnalysed(self.findings, i.sop_instance_uid) for i, _ in images]
        return [
            cases.about(one.sop_instance_uid, self.findings()).images[0]
            for one, _ in images
        ]


class Site:
    """A pipeline over a store with images, all in memory."""

    def __init__(self, spec=SPEC, findings=cases.positive) -> None:
        self.instances, self.results = MemoryStore(), MemoryStore()
        self.announced = []
        self.pipeline = Pipeline(
            spec,
            Predictor(findings),
            self.instances,
            self.results,
            cases.NODE,
            Listeners(
                lambda names: self.announced.append((*names, len(self.results.files)))
            ),
        )

    def with_image(self, number=0, **attributes) -> Instance:
        header = cases.source(number, **attributes)
        key = InstanceKey(
            header.StudyInstanceUID,
            header.SeriesInstanceUID,
            header.SOPInstanceUID,
            header.SOPClassUID,
            ExplicitVRLittleEndian,
        )
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        stored = self.instances.put(key, [encode_data_set(header)])
        recorded = {"Modality": "DX", "Rows": "2048", "Columns": "1536"}
        return Instance(
            key.sop_instance_uid,
            key.sop_class_uid,
            key.series_instance_uid,
            key.transfer_syntax_uid,
            stored.location,
            recorded,
        )

    def read(self, result: NewResult):
        return dcmread(BytesIO(self.results.files[result.location]))


def kept(result: NewResult, revision: int = 1) -> KeptResult:
    return KeptResult(
        result.kind,
        result.sop_class_uid,
        result.sop_instance_uid,
        result.series_instance_uid,
        result.location,
        revision,
    )


def by_kind(results) -> dict[str, NewResult]:
    return {one.kind: one for one in reversed(results)}


def test_the_same_study_at_two_sites_gives_the_same_bytes():
    files = []
    for _ in range(2):
        site = Site()
        site.pipeline.analyse(JOB, [site.with_image()])
        files.append(site.results.files)
    assert files[0] == files[1]
    assert len(files[0]) == 5


def test_a_rehearsal_leaves_nothing_and_changes_nothing():
    site, other = Site(), Site()
    site.pipeline.rehearse(NOON)
    assert not site.results.files
    assert not site.announced
    for one in (site, other):
        one.pipeline.analyse(JOB, [one.with_image()])
    assert site.results.files == other.results.files


def test_a_later_analysis_differs_in_its_dates_only():
    first, second = Site(), Site()
    later = replace(JOB, scheduled_at=NOON.replace(hour=17))
    one = first.pipeline.analyse(JOB, [first.with_image()])
    two = second.pipeline.analyse(later, [second.with_image()])
    uids = [[r.sop_instance_uid for r in each.results] for each in (one, two)]
    assert uids[0] == uids[1]
    for a, b in zip(one.results, two.results, strict=True):
        differing = {e.keyword for e in first.read(a) if e != second.read(b)[e.tag]}
        assert differing <= {
            "ContentTime",
            "InstanceCreationTime",
            "TimeOfSecondaryCapture",
            "ContributingEquipmentSequence",
        }


def test_a_later_revision_names_what_it_replaces():
    site = Site()
    images = [site.with_image()]
    before = site.pipeline.analyse(JOB, images).results
    earlier = [kept(one) for one in before]
    after = site.pipeline.analyse(LATER, [*images, site.with_image(1)], lambda: earlier)
    first, second = by_kind(before), by_kind(after.results)
    for kind in ("sr", "sr-text"):
        ds = site.read(second[kind])
        [study] = ds.PredecessorDocumentsSequence
        [series] = study.ReferencedSeriesSequence
        [named] = series.ReferencedSOPSequence
        assert named.ReferencedSOPInstanceUID == first[kind].sop_instance_uid
        assert named.PurposeOfReferenceCodeSequence[0].CodeValue == "121360"
        assert ds.SeriesInstanceUID == first[kind].series_instance_uid
        assert (ds.InstanceNumber, site.read(first[kind]).InstanceNumber) == (2, 1)
    assert "PredecessorDocumentsSequence" not in site.read(second["sc"])


def test_results_are_announced_to_their_destinations_before_they_are_built():
    site = Site()
    site.pipeline.analyse(JOB, [site.with_image()])
    assert site.announced == [("PACS", 0)]


def test_nothing_is_announced_of_what_is_never_sent():
    site = Site(replace(SPEC, shadow=True))
    assert site.pipeline.analyse(JOB, [site.with_image()]).results
    assert site.announced == []


def test_without_its_earlier_results_a_job_fails():
    site = Site()

    def earlier():
        raise WorklistError("it is locked; wait")

    with pytest.raises(WorklistError):
        site.pipeline.analyse(JOB, [site.with_image()], earlier)


def test_what_cannot_be_analysed_is_said_in_the_same_series():
    site, other = Site(), Site(findings="the pixels cannot be decoded")
    fine = by_kind(site.pipeline.analyse(JOB, [site.with_image()]).results)
    analysis = other.pipeline.analyse(JOB, [other.with_image()])
    assert analysis.outcome is Outcome.NOT_ANALYSED
    refused = by_kind(analysis.results)
    assert refused.keys() == {"sr", "sr-text"}
    for kind, one in refused.items():
        assert one.series_instance_uid == fine[kind].series_instance_uid
        assert one.destinations == ("PACS",)


def test_a_job_that_failed_for_good_is_said_to_be_not_analysed():
    site = Site()
    images = [site.with_image()]
    results = site.pipeline.refuse(JOB, images, (), "no answer within 600 seconds")
    assert by_kind(results).keys() == {"sr", "sr-text"}
    again = site.pipeline.refuse(
        JOB, images, [kept(one) for one in results], "no answer within 600 seconds"
    )
    assert again == results
    text = site.read(by_kind(results)["sr-text"])
    assert b"Not analysed: no answer within 600 seconds." in encode_data_set(text)


def test_when_it_is_analysed_after_all_the_refusal_is_replaced():
    site = Site()
    images = [site.with_image()]
    refused = site.pipeline.refuse(JOB, images, (), "no answer")
    analysis = site.pipeline.analyse(
        JOB, images, lambda: [kept(one) for one in refused]
    )
    ds = site.read(by_kind(analysis.results)["sr"])
    [study] = ds.PredecessorDocumentsSequence
    named = study.ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert named.ReferencedSOPInstanceUID == by_kind(refused)["sr"].sop_instance_uid


def test_own_results_are_no_source_of_a_refusal():
    site = Site()
    came_back = replace(
        site.with_image(1), attributes={"InstanceCreatorUID": INSTANCE_CREATOR_UID}
    )
    results = site.pipeline.refuse(JOB, [came_back, site.with_image()], (), "no")
    ds = site.read(results[0])
    [study] = ds.CurrentRequestedProcedureEvidenceSequence
    [series] = study.ReferencedSeriesSequence
    uids = [one.ReferencedSOPInstanceUID for one in series.ReferencedSOPSequence]
    assert uids == [cases.IMAGES[0]]


def test_heat_maps_can_be_switched_off():
    site = Site(replace(SPEC, heat_map=False))
    results = site.pipeline.analyse(JOB, [site.with_image()]).results
    [page] = [site.read(one) for one in results if one.kind == "sc"]
    assert page.ImageComments.endswith("AI suggests: Pneumonia, Pleural effusion")
    red, blue = page.pixel_array[..., 0].astype(int), page.pixel_array[..., 2]
    picture = (slice(80, 1000), slice(20, 940))
    assert np.array_equal(red[picture], blue[picture])


def test_the_configured_language_is_spoken():
    site = Site(replace(SPEC, language="de"))
    [text] = [
        site.read(one)
        for one in site.pipeline.analyse(JOB, [site.with_image()]).results
        if one.kind == "sr-text"
    ]
    assert b"Pleuraerguss: vorhanden" in encode_data_set(text)


def test_images_of_two_patients_are_refused_with_the_reason():
    site = Site(findings=cases.negative)
    images = [site.with_image(), site.with_image(1, PatientID="P-002")]
    with pytest.raises(ResultError, match="do not agree on PatientID"):
        site.pipeline.analyse(JOB, images)
    assert not site.results.files


def test_what_was_found_goes_with_the_job_for_the_pipelines_after_it():
    site = Site()
    found = site.pipeline.analyse(JOB, [site.with_image()]).findings
    assert found["Pneumonia"] is Presence.PRESENT
    assert found["Edema"] is Presence.ABSENT
    blind = Site(findings="too small")
    assert blind.pipeline.analyse(JOB, [blind.with_image()]).findings == {}
