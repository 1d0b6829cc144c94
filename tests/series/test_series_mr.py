"""MR: one of several sequences by the bundle's rules, percentiles, enhanced objects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.decoder import DecodeLimits, DecoderPool
from dicomnode.domain.findings import Presence
from dicomnode.domain.rules import Rule
from dicomnode.domain.series import SeriesInput
from dicomnode.worker.pipeline import DestinationProfile, PipelineSpec
from dicomnode.worker.series import unfit
from model import bundle
from model.phantom_ct import scan
from tests.series import ct, mr
from tests.series.test_series_pipeline import Site, changed, images_of_groups, texts

SLICES = 40
SPEC = PipelineSpec(
    Rule("mr", {"Modality": "MR"}), ("sr", "sc"), (DestinationProfile("P", "enhanced"),)
)


@pytest.fixture(scope="module")
def site(mr_bundle):
    with DecoderPool(DecodeLimits(), 1) as pool:
        yield Site(mr_bundle, pool, SPEC)


def test_the_sequence_that_the_bundle_names_is_analysed(site, tmp_path):
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    study = tmp_path / "study"
    mr.write_series(found, study, 2, SeriesDescription="AX T1", gain=1.3)
    mr.write_series(found, study, 3, gain=0.7, offset=300, **mr.FLAIR)
    post = {"SeriesDescription": "AX FLAIR POST", "ScanningSequence": "SE"}
    mr.write_series(found, study, 4, **post)
    analysis = site.analyse(study)
    assert analysis.findings == {"nodule": Presence.PRESENT}
    report = site.read(analysis, "sr")
    named = list(images_of_groups(report))
    inside = set(found.sphere.slices(SLICES, found.spacing_mm))
    numbers = {int(uid.rpartition(".")[2]) - 1 for uid, _ in named}
    assert {uid.split(".")[-2] for uid, _ in named} == {"3"}
    assert len(numbers & inside) >= len(inside) - 3
    assert numbers <= inside | {min(inside) - 1, max(inside) + 1}
    said = "\n".join(texts(report))
    assert (
        "series 2 (40 slices of 5 mm): by its SeriesDescription it is not one" in said
    )
    assert (
        "series 4 (40 slices of 5 mm): by its SeriesDescription it is not one" in said
    )
    assert "FLAIR" not in said  # a text that somebody typed could name the patient
    assert report.CompletionFlag == "COMPLETE"


def test_frames_of_an_enhanced_object_are_named(site, tmp_path):
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    study = tmp_path / "study"
    ct.write(mr.enhanced(found, 5, SeriesDescription="FLAIR 3D"), study / "one.dcm")
    ct.write(mr.enhanced(found, 6, SeriesDescription="T2 3D"), study / "two.dcm")
    analysis = site.analyse(study)
    assert analysis.findings == {"nodule": Presence.PRESENT}
    [(uid, frames)] = images_of_groups(site.read(analysis, "sr"))
    assert uid == f"{ct.STUDY}.5.1"
    inside = set(found.sphere.slices(SLICES, found.spacing_mm))
    around = inside | {min(inside) - 1, max(inside) + 1}
    assert {SLICES - number for number in frames} <= around


def test_a_study_without_the_sequence_is_not_analysed_and_says_why(site, tmp_path):
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    mr.write_series(found, tmp_path, 2, SeriesDescription="AX T1")
    analysis = site.analyse(tmp_path)
    assert analysis.reason.endswith(
        "by its SeriesDescription it is not one the model was made for"
    )


@pytest.mark.parametrize(
    ("facts", "keyword"),
    [
        ({"A": ("x flair y",)}, ""),
        ({"A": ("T1",)}, "A"),
        ({}, "A"),
        ({"A": ("FLAIR",), "B": ("DERIVED", "POST")}, "B"),
        ({"A": ("FLAIR",), "C": ("GR",)}, "C"),
    ],
)
def test_every_rule_must_fit_and_no_exclusion_may(mr_bundle, facts, keyword):
    wanted = SeriesInput(
        match=(("A", ("*FLAIR*",)), ("C", ("SE", ""))), exclude=(("B", ("POST",)),)
    )
    assert unfit(facts, wanted) == keyword
    rules = {"match": wanted.match, "exclude": wanted.exclude}
    spec = replace(bundle.describe(mr_bundle).input.series, **rules)
    assert spec.takes(facts) is not bool(keyword)  # commissioning chooses alike


@pytest.mark.parametrize(
    ("wish", "remedy"),
    [
        ({"percentiles": [[99, 1]]}, "low < high"),
        ({"windows": [[40, 400], [1, 2]]}, "instead of windows"),
        ({"match": {"SeriesName": "x"}}, "SeriesName is no DICOM keyword"),
    ],
)
def test_a_bundle_that_cannot_be_meant_is_refused(mr_bundle, tmp_path, wish, remedy):
    made = changed(mr_bundle, tmp_path / "odd", **wish)
    with pytest.raises(bundle.BundleError, match=remedy):
        bundle.load(made)
