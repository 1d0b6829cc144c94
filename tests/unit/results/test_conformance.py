"""Defects are found before an object leaves, and the node knows its own results."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from dicomnode.domain.ownership import INSTANCE_CREATOR_UID, is_own_result
from dicomnode.errors import ResultError
from dicomnode.results import build
from dicomnode.results.conformance import check
from tests.unit.results import cases


def made(kind: str) -> Dataset:
    results = build(cases.context(), cases.positive(), ["sr", "sc"])
    return next(one.dataset for one in results if one.kind == kind)


@pytest.mark.parametrize("kind", ["sr", "sr-text", "sc"])
def test_what_we_build_passes(kind: str) -> None:
    check(made(kind), kind)


def _empty_name(dataset: Dataset) -> None:
    dataset.ContentSequence[0].ConceptNameCodeSequence = []


def _forgotten_evidence(dataset: Dataset) -> None:
    item = dataset.CurrentRequestedProcedureEvidenceSequence[0]
    item.ReferencedSeriesSequence = item.ReferencedSeriesSequence[1:]


def _no_containers(dataset: Dataset) -> None:
    dataset.ContentSequence = dataset.ContentSequence[:8]


def _broken_uid(dataset: Dataset) -> None:
    dataset.ContentSequence[2].UID = "1.2.x"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda one: delattr(one, "CompletionFlag"), r"CompletionFlag \(Type 1\)"),
        (lambda one: setattr(one, "Manufacturer", ""), r"Manufacturer \(Type 1\)"),
        (lambda one: delattr(one, "PatientID"), r"PatientID \(Type 2\)"),
        (lambda one: setattr(one, "SeriesDescription", "AI"), "Research use only"),
        (_empty_name, "no concept name"),
        (_forgotten_evidence, "not in the evidence"),
        (_no_containers, "126000 has 0 times C0034375"),
        (_broken_uid, "121012 is not a valid UID"),
    ],
)
def test_defects_are_named(spoil: Callable[[Dataset], None], message: str) -> None:
    dataset = made("sr")
    spoil(dataset)
    with pytest.raises(ResultError, match=message) as caught:
        check(dataset, "sr")
    assert "dicomnode retry" in str(caught.value)


def test_a_capture_needs_its_pixels() -> None:
    dataset = made("sc")
    del dataset.PixelData
    with pytest.raises(ResultError, match="PixelData"):
        check(dataset, "sc")


@pytest.mark.parametrize("kind", ["sr", "sr-text", "sc"])
def test_own_results_are_recognised_by_what_the_receiver_records(kind: str) -> None:
    dataset = made(kind)
    recorded = {
        keyword: str(dataset[keyword].value)
        for keyword in ("Manufacturer", "InstanceCreatorUID")
    }
    assert is_own_result(recorded)
    assert is_own_result({"InstanceCreatorUID": recorded["InstanceCreatorUID"]})
    assert is_own_result({"Manufacturer": recorded["Manufacturer"]})


@pytest.mark.parametrize(
    ("attributes", "own"),
    [
        ({}, False),
        ({"Manufacturer": "GE MEDICAL SYSTEMS"}, False),
        ({"Manufacturer": ""}, False),
        ({"Manufacturer": ("dicomnode",)}, True),
        ({"Manufacturer": "Other", "InstanceCreatorUID": INSTANCE_CREATOR_UID}, True),
        ({"InstanceCreatorUID": f"{INSTANCE_CREATOR_UID}\0"}, True),
        ({"InstanceCreatorUID": "1.2.3"}, False),
    ],
)
def test_ownership(attributes: dict[str, str | tuple[str, ...]], own: bool) -> None:
    assert is_own_result(attributes) is own
