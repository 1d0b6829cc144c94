"""CT studies to reports: chosen series, chosen slices, and those that drove the answer.

The bundle, decoder processes and results are the product's own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
from pydicom import dcmread

from dicomnode.batching import Batcher
from dicomnode.decoder import DecodeLimits, DecoderPool
from dicomnode.domain.findings import Presence
from dicomnode.domain.job import Job, Outcome
from dicomnode.domain.rules import Rule
from dicomnode.predictor import BundlePredictor
from dicomnode.processes.trial import studies_of
from dicomnode.results.showing import page
from dicomnode.worker.pipeline import DestinationProfile, Pipeline, PipelineSpec
from model import bundle
from model.bundle import integrity
from model.phantom_ct import scan
from tests.contract.fakes import MemoryStore
from tests.series import ct
from tests.unit.results import cases

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
JOB = Job("j1", ct.STUDY, 1, "ct", 0, 1, "w", NOON, NOON)
SPEC = PipelineSpec(
    Rule("ct", {"Modality": "CT"}), ("sr", "sc"), (DestinationProfile("P", "enhanced"),)
)
SLICES = 40


class Files:
    """A store whose locations are paths; how many are open at once is counted."""

    def __init__(self) -> None:
        self.open_files, self.most_open = [], 0

    def open(self, location):
        file = Path(location).open("rb")  # noqa: SIM115 - the caller closes it
        self.open_files = [one for one in self.open_files if not one.closed] + [file]
        self.most_open = max(self.most_open, len(self.open_files))
        return file


class Site:
    """A pipeline over a bundle, with a decoder process."""

    def __init__(self, folder, pool, spec=SPEC) -> None:
        self.files, self.results = Files(), MemoryStore()
        self.predictor = BundlePredictor(
            folder, decoder=pool, batcher=Batcher(16, 0.005)
        )
        self.pipeline = Pipeline(
            spec, self.predictor, self.files, self.results, cases.NODE
        )

    def analyse(self, folder):
        [instances] = studies_of(folder).values()
        return self.pipeline.analyse(JOB, instances)

    def read(self, analysis, kind):
        [one, *_] = [one for one in analysis.results if one.kind == kind]
        return dcmread(BytesIO(self.results.files[one.location]))


@pytest.fixture(scope="module")
def pool():
    with DecoderPool(DecodeLimits(), 1) as made:
        yield made


@pytest.fixture(scope="module")
def site(ct_bundle, pool):
    return Site(ct_bundle, pool)


def changed(ct_bundle, folder, **series):
    """The same network with other wishes."""
    copytree(ct_bundle, folder)
    path = folder / "bundle.json"
    table = json.loads(path.read_text())
    table["input"]["series"] |= series
    path.write_text(json.dumps(table))
    (folder / integrity.MANIFEST).write_bytes(integrity.build(folder))
    return folder


def texts(dataset):
    for item in dataset.get("ContentSequence") or ():
        if "TextValue" in item:
            yield str(item.TextValue)
        yield from texts(item)


def images_of_groups(dataset):
    """Referenced instances and frames of every measurement group."""
    for item in dataset.get("ContentSequence") or ():
        if item.get("ConceptNameCodeSequence")[0].get("CodeValue") == "125007":
            for one in item.ContentSequence:
                for image in one.get("ReferencedSOPSequence") or ():
                    yield (
                        image.ReferencedSOPInstanceUID,
                        image.get("ReferencedFrameNumber"),
                    )
        yield from images_of_groups(item)


def test_the_report_names_the_slices_with_the_sphere(site, tmp_path):
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    ct.write_series(found, tmp_path)
    for number in range(2):
        scout = ct.slice_of(
            found, number, 1, ImageType=["ORIGINAL", "PRIMARY", "SCOUT"]
        )
        ct.write(scout, tmp_path / f"scout-{number}.dcm")
    analysis = site.analyse(tmp_path)
    assert analysis.outcome is Outcome.ANALYSED
    assert analysis.findings == {"nodule": Presence.PRESENT}
    report = site.read(analysis, "sr")
    named = {int(uid.rpartition(".")[2]) - 1 for uid, _ in images_of_groups(report)}
    inside = set(found.sphere.slices(SLICES, found.spacing_mm))
    assert len(named & inside) >= len(inside) - 3
    assert named <= inside | {min(inside) - 1, max(inside) + 1}
    evidence = report.CurrentRequestedProcedureEvidenceSequence[0]
    assert len(evidence.ReferencedSeriesSequence[0].ReferencedSOPSequence) == len(named)
    said = "\n".join(texts(report))
    assert f"series 2 ({SLICES} slices of 5 mm, kernel B30F)" in said
    assert "series 1 (2 slices): a localizer is not one" in said
    assert "most in slice" in said
    assert "most in slice" in page([report])
    assert report.CompletionFlag == "COMPLETE"  # nobody wanted the scout analysed
    [summary, heat] = [one for one in analysis.results if one.kind == "sc"]
    capture = dcmread(BytesIO(site.results.files[heat.location]))
    driving = capture.SourceImageSequence[0].ReferencedSOPInstanceUID
    assert int(driving.rpartition(".")[2]) - 1 in inside
    assert capture.Modality == "OT"
    assert summary.location != heat.location


def test_a_series_without_one_is_negative(site, tmp_path):
    found = scan(4, lesion=False, size=ct.PIXELS, n_slices=SLICES)
    ct.write_series(found, tmp_path)
    analysis = site.analyse(tmp_path)
    assert analysis.findings == {"nodule": Presence.ABSENT}
    assert not list(images_of_groups(site.read(analysis, "sr")))


def test_few_files_are_open_and_few_slices_are_read(ct_bundle, pool, tmp_path):
    few = changed(ct_bundle, tmp_path / "few", n_slices=6, span="even")
    site = Site(few, pool)
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=120, spacing_mm=2)
    ct.write_series(found, tmp_path / "study")
    analysis = site.analyse(tmp_path / "study")
    said = "\n".join(texts(site.read(analysis, "sr")))
    assert "6 of 120 slices" in said
    assert site.files.most_open <= 64


def test_the_better_series_is_analysed_and_the_other_named(site, tmp_path):
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    ct.write_series(found, tmp_path, 2)
    ct.write_series(found, tmp_path, 3, SliceThickness=1.25)
    ct.write_series(
        found, tmp_path, 4, ImageType=["DERIVED", "SECONDARY", "REFORMATTED"]
    )
    analysis = site.analyse(tmp_path)
    said = "\n".join(texts(site.read(analysis, "sr")))
    assert "Analysed: series 2" in said
    assert f"series 3 ({SLICES} slices of 1.25 mm, kernel B30F): series 2 suits" in said
    assert f"series 4 ({SLICES} slices): a derived series" in said


def test_what_makes_no_volume_is_not_analysed_and_says_why(site, tmp_path):
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    for path in ct.write_series(found, tmp_path):
        if dcmread(path).InstanceNumber in range(10, 25):
            path.unlink()
    analysis = site.analyse(tmp_path)
    assert analysis.outcome is Outcome.NOT_ANALYSED
    assert "15 of 40 slices are missing" in analysis.reason
    assert [one.kind for one in analysis.results] == ["sr", "sr-text"]


def test_a_damaged_slice_costs_itself_only(site, tmp_path):
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    [first, *_] = ct.write_series(found, tmp_path)
    whole = first.read_bytes()
    first.write_bytes(whole[:-2000])
    assert site.analyse(tmp_path).findings == {"nodule": Presence.PRESENT}


def test_an_enhanced_object_is_a_series_by_itself(site, tmp_path):
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    ct.write(ct.enhanced(found), tmp_path / "enhanced.dcm")
    analysis = site.analyse(tmp_path)
    assert analysis.findings == {"nodule": Presence.PRESENT}
    [(uid, frames)] = images_of_groups(site.read(analysis, "sr"))
    assert uid == f"{ct.STUDY}.5.1"
    inside = set(found.sphere.slices(SLICES, found.spacing_mm))
    captures = [one for one in analysis.results if one.kind == "sc"]
    for one in captures:  # the summary and the heat map name the frame they show
        capture = dcmread(BytesIO(site.results.files[one.location]))
        [image] = capture.SourceImageSequence
        assert image.ReferencedSOPInstanceUID == uid
        assert image.ReferencedFrameNumber in frames
    # Frames are stored from head to feet.
    assert {SLICES - number for number in frames} <= inside | {
        min(inside) - 1,
        max(inside) + 1,
    }


def test_a_presentation_state_shows_the_frame_it_is_of(ct_bundle, pool, tmp_path):
    site = Site(ct_bundle, pool, replace(SPEC, result_kinds=("sr", "gsps")))
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    ct.write(ct.enhanced(found), tmp_path / "enhanced.dcm")
    state = site.read(site.analyse(tmp_path), "gsps")
    [series] = state.ReferencedSeriesSequence
    [image] = series.ReferencedImageSequence
    [annotation] = state.GraphicAnnotationSequence
    frame = image.ReferencedFrameNumber
    assert annotation.ReferencedImageSequence[0].ReferencedFrameNumber == frame
    # Frames are stored from head to feet, each with an intercept of its own.
    assert state.RescaleIntercept == -1024 - (SLICES - frame)
    assert SLICES - frame in found.sphere.slices(SLICES, found.spacing_mm)


def test_logits_of_slices_become_one_probability(ct_bundle, tmp_path):
    stacks = [
        ct.stack_of(scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES), n)
        for n in range(15, 30)
    ]
    said = {}
    for method, k in (("max", 1), ("top-k-mean", 3), ("noisy-or", 1)):
        wish = {"method": method, "k": k}
        made = changed(ct_bundle, tmp_path / method, aggregation=wish)
        loaded = bundle.load(made)
        found = loaded.infer([loaded.prepare(one) for one in stacks])
        said[method] = loaded.sum_up(found)
    each = np.array(said["max"].slices["nodule"])
    top = np.sort(np.log(each / (1 - each)))[::-1]
    assert said["max"].logits["nodule"] == pytest.approx(top[0], rel=1e-3)
    assert said["top-k-mean"].logits["nodule"] == pytest.approx(
        top[:3].mean(), rel=1e-3
    )
    assert said["noisy-or"].probabilities["nodule"] == pytest.approx(
        1 - np.prod(1 - each), abs=1e-4
    )


@pytest.mark.parametrize(
    ("wish", "remedy"),
    [
        ({"stack_depth": 2}, "give an odd number"),
        ({"windows": [[40, 0]]}, "width > 0"),
        ({"windows": [[40, 400]]}, "correct input.series or network.channels"),
        ({"n_slices": 5, "span": "all"}, "leave it out with all"),
        ({"n_slices": 5, "span": "some"}, "use one of all, even, central"),
        ({"aggregation": {"method": "mean"}}, "use one of max, top-k-mean, noisy-or"),
        ({"aggregation": {"method": "max", "k": 3}}, "k is for top-k-mean"),
        ({"planes": ["oblique"]}, "use axial, coronal, sagittal"),
        ({"slices": 3}, "input.series.slices is unknown"),
    ],
)
def test_a_bundle_that_cannot_be_meant_is_refused(ct_bundle, tmp_path, wish, remedy):
    made = changed(ct_bundle, tmp_path / "odd", **wish)
    with pytest.raises(bundle.BundleError, match=remedy):
        bundle.load(made)
