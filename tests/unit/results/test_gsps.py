"""Presentation states: words and outlines over the original, as it is shown."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset

from dicomnode.domain.findings import StudyFindings
from dicomnode.results import ReportContext, build
from tests.unit.results import cases


def states(
    findings: StudyFindings, context: ReportContext | None = None
) -> list[Dataset]:
    built = build(context or cases.context(), findings, ["gsps"])
    return [one.dataset for one in built]


def test_one_for_each_image_with_a_positive_finding() -> None:
    context = cases.context(*(cases.source(number) for number in range(3)))
    made = states(cases.quality(), context)
    assert [
        one.ReferencedSeriesSequence[0]
        .ReferencedImageSequence[0]
        .ReferencedSOPInstanceUID
        for one in made
    ] == list(cases.IMAGES[:2])
    assert [int(one.InstanceNumber) for one in made] == [1, 2]
    assert {one.Modality for one in made} == {"PR"}
    assert states(cases.negative()) == []


def test_regions_are_closed_outlines_in_pixels() -> None:
    [state] = states(cases.outlined())
    [annotation] = state.GraphicAnnotationSequence
    square, triangle = annotation.GraphicObjectSequence
    assert square.GraphicAnnotationUnits == "PIXEL"
    assert list(square.GraphicData) == [10, 20.5, 90, 20.5, 90, 80, 10, 80, 10, 20.5]
    assert (square.NumberOfGraphicPoints, triangle.NumberOfGraphicPoints) == (5, 4)
    words = annotation.TextObjectSequence[0].UnformattedTextValue
    assert "Pneumonia: present (probability 91.0 %" in words
    assert "Research use only" in words


def test_the_image_is_shown_as_its_header_says() -> None:
    source = cases.source(
        RescaleSlope="2",
        RescaleIntercept="-10",
        WindowCenter="2000",
        WindowWidth="4000",
        PhotometricInterpretation="MONOCHROME1",
    )
    [state] = states(cases.outlined(), cases.context(source))
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (
        2,
        -10,
        "US",
    )
    assert state.SoftcopyVOILUTSequence[0].WindowWidth == 4000
    assert state.PresentationLUTShape == "INVERSE"
    [area] = state.DisplayedAreaSelectionSequence
    assert list(area.DisplayedAreaBottomRightHandCorner) == [1536, 2048]


def test_a_lookup_table_goes_along_byte_for_byte() -> None:
    table = Dataset()
    table.LUTDescriptor = [2, 0, 16]
    table.LUTData = b"\x01\x02\x03\x04"
    source = cases.source(VOILUTSequence=[table])
    [state] = states(cases.outlined(), cases.context(source))
    [voi] = state.SoftcopyVOILUTSequence
    assert voi.VOILUTSequence[0].LUTData == table.LUTData


def test_the_report_has_it_in_its_evidence() -> None:
    report, *_, state = build(cases.context(), cases.outlined(), ["sr", "gsps"])
    evidence = report.dataset.CurrentRequestedProcedureEvidenceSequence[0]
    uids = {
        instance.ReferencedSOPInstanceUID
        for series in evidence.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    assert state.sop_instance_uid in uids


def test_many_findings_fit_in_the_text_and_the_warning_stays() -> None:
    one = cases.finding("Pneumonia", 0.9)
    many = [replace(one, label=f"label {number}") for number in range(40)]
    [state] = states(StudyFindings(images=(cases.image(*many),)))
    words = (
        state.GraphicAnnotationSequence[0].TextObjectSequence[0].UnformattedTextValue
    )
    assert len(words) <= 1024
    assert words.startswith("AI cxr-findings")
    assert "Research use only" in words
