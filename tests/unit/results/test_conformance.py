"""Defects are found before an object leaves, and the node knows its own results."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from dicomnode.domain.ownership import INSTANCE_CREATOR_UID, is_own_result
from dicomnode.errors import ResultError
from dicomnode.results import build
from dicomnode.results.conformance import check
from dicomnode.results.references import Reference, evidence
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


def _out_of_order(dataset: Dataset) -> None:
    first, second, *others = dataset.ContentSequence
    dataset.ContentSequence = [second, first, *others]


def _stranger(dataset: Dataset) -> None:
    dataset.ContentSequence[-2].ContentSequence.append(dataset.ContentSequence[0])


def _unsaid_finding(dataset: Dataset) -> None:
    evaluations = dataset.ContentSequence[-1].ContentSequence
    absent = evaluations[-1].ConceptCodeSequence
    for item in evaluations[2:]:
        item.ConceptCodeSequence = absent


def _no_image_in_a_group(dataset: Dataset) -> None:
    group = dataset.ContentSequence[-2].ContentSequence[-1]
    group.ContentSequence = group.ContentSequence[:-1]


def _own_predecessor(dataset: Dataset) -> None:
    dataset.PredecessorDocumentsSequence = evidence(
        "1.2", [Reference(dataset.SOPClassUID, dataset.SOPInstanceUID, "1.3")]
    )


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
        (_out_of_order, "121049 is out of order in 126000"),
        (_stranger, "121049 has no place in 126010"),
        (_unsaid_finding, "that is not stated as present"),
        (_no_image_in_a_group, "not one image or one region"),
        (_own_predecessor, "a predecessor is no other document"),
        (lambda one: setattr(one, "StationName", "S" * 17), "more than 16 characters"),
    ],
)
def test_defects_are_named(spoil: Callable[[Dataset], None], message: str) -> None:
    dataset = made("sr")
    spoil(dataset)
    with pytest.raises(ResultError, match=message) as caught:
        check(dataset, "sr")
    assert "dicomnode retry" in str(caught.value)


def _short_outline(dataset: Dataset) -> None:
    annotation = dataset.GraphicAnnotationSequence[0]
    annotation.GraphicObjectSequence[0].NumberOfGraphicPoints = 3


def _no_layer(dataset: Dataset) -> None:
    dataset.GraphicAnnotationSequence[0].GraphicLayer = "ELSEWHERE"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_short_outline, "number of points"),
        (_no_layer, "lies on no layer"),
        (lambda one: delattr(one, "PresentationLUTShape"), "PresentationLUTShape"),
    ],
)
def test_defects_of_a_presentation_state_are_named(
    spoil: Callable[[Dataset], None], message: str
) -> None:
    [built] = build(cases.context(), cases.outlined(), ["gsps"])
    state = built.dataset
    check(state, "gsps")
    spoil(state)
    with pytest.raises(ResultError, match=message):
        check(state, "gsps")


def test_a_capture_has_all_its_pixels() -> None:
    dataset = made("sc")
    dataset.Rows += 1
    with pytest.raises(ResultError, match="PixelData has not the length"):
        check(dataset, "sc")


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
