"""Reading reports: what the node builds, and what others might."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from dicomnode.demo.cases import Case
from dicomnode.demo.outcome import Outcome
from dicomnode.results.reading import content, read

Answer = Callable[..., Outcome]


def _code(value: str, meaning: str) -> list[Dataset]:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator = value, "DCM"
    item.CodeMeaning = meaning
    return [item]


def _item(value_type: str, name: str, **attributes: object) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", value_type
    item.ConceptNameCodeSequence = _code("1", name)
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _measured(value: str, unit: str, meaning: str) -> list[Dataset]:
    measured = Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = _code(unit, meaning)
    return [measured]


def _referenced() -> list[Dataset]:
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = "1.2.3"
    return [reference]


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (_item("TEXT", "a", TextValue="words"), "words"),
        (_item("CODE", "a", ConceptCodeSequence=_code("2", "Right")), "Right"),
        (_item("NUM", "a", MeasuredValueSequence=_measured("7.50", "%", "x")), "7.5 %"),
        (_item("NUM", "a", MeasuredValueSequence=_measured("3", "mm", "mm")), "3 mm"),
        (_item("NUM", "a", MeasuredValueSequence=[]), "no value"),
        (_item("IMAGE", "a", ReferencedSOPSequence=_referenced()), "1.2.3"),
        (_item("UIDREF", "a", UID="2.25.1"), "2.25.1"),
        (_item("PNAME", "a", PersonName="A^B"), "A^B"),
        (_item("DATE", "a", Date="20260304"), "20260304"),
        (_item("SCOORD", "a", GraphicType="POLYLINE"), "POLYLINE"),
        (_item("CONTAINER", "a"), ""),
        (_item("SOMETHING NEW", "a"), ""),
    ],
)
def test_every_value_type_has_words(item: Dataset, value: str) -> None:
    assert content(item).value == value


def test_an_item_without_a_concept_name_is_named_by_its_type() -> None:
    item = _item("IMAGE", "a", ReferencedSOPSequence=_referenced())
    del item.ConceptNameCodeSequence
    assert content(item).name == "IMAGE"


def test_an_empty_document_reads_as_nothing() -> None:
    reading = read(Dataset())
    assert reading.statements == ()
    assert reading.labels == frozenset()
    assert reading.conclusion == ""


def test_a_report_with_a_positive(case_named: dict[str, Case], answer: Answer) -> None:
    report = answer(case_named["rotated-90"]).report
    assert report is not None
    reading = report.reading
    assert reading.title == "Imaging Measurement Report"
    assert reading.labels == {"rotated-90"}
    (positive,) = reading.present
    assert positive.meaning == "Rotated 90 degrees"
    assert "97 %" in " ".join(positive.details)
    assert len(reading.statements) == 4
    assert "Research use only" in reading.conclusion
    assert reading.device == "cxr-qc 0.0.1"
    assert "inverted 50 % (undetermined from 40 % to 60 %)" in reading.operating_points


def test_a_report_without_one_names_its_operating_points_too(
    case_named: dict[str, Case], answer: Answer
) -> None:
    report = answer(case_named["upright"]).report
    assert report is not None
    assert report.reading.present == ()
    assert len(report.reading.operating_points) == 4
