"""The content tree says what the findings say: no more, no less, in order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from pydicom.dataset import Dataset

from dicomnode.domain.findings import NotAnalysed, Presence, StudyFindings
from dicomnode.errors import ResultError
from dicomnode.results import ReportContext, build
from tests.unit.results import cases


def report(findings: StudyFindings, context: ReportContext | None = None) -> Dataset:
    return build(context or cases.context(), findings, ["sr"])[0].dataset


def text_report(
    findings: StudyFindings, context: ReportContext | None = None
) -> Dataset:
    return build(context or cases.context(), findings, ["sr"])[1].dataset


def code(item: Dataset, keyword: str = "ConceptNameCodeSequence") -> str:
    first = item[keyword].value[0]
    return str(first.get("CodeValue") or first.get("LongCodeValue"))


def child(parent: Dataset, value: str) -> Dataset:
    return children(parent, value)[0]


def children(parent: Dataset, value: str) -> list[Dataset]:
    return [item for item in parent.ContentSequence if code(item) == value]


def everything(parent: Dataset) -> Iterator[Dataset]:
    for item in parent.get("ContentSequence") or ():
        yield item
        yield from everything(item)


def said(parent: Dataset) -> list[tuple[str, str]]:
    return [
        (code(item), code(item, "ConceptCodeSequence"))
        for item in parent.ContentSequence
        if item.ValueType == "CODE"
    ]


def quality_context() -> ReportContext:
    return cases.context(*(cases.source(number) for number in range(3)))


def test_the_root_is_a_measurement_report() -> None:
    root = report(cases.positive())
    assert code(root) == "126000"
    assert root.ContinuityOfContent == "SEPARATE"
    assert root.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    assert [code(item) for item in root.ContentSequence] == [
        "121049",
        "121005",
        "121012",
        "121013",
        "121014",
        "121015",
        "121058",
        "111028",
        "126010",
        "C0034375",
    ]
    (observer,) = children(root, "121012")
    assert str(observer.UID) == cases.BUNDLE.device_uid


def test_one_group_for_each_positive_the_most_probable_first() -> None:
    groups = children(child(report(cases.positive()), "126010"), "125007")
    found = [code(child(one, "121071"), "ConceptCodeSequence") for one in groups]
    assert found == ["233604007", "60046008"]
    first = groups[0]
    assert child(first, "112039").TextValue == "Pneumonia"
    assert code(child(first, "363698007"), "ConceptCodeSequence") == "39607008"
    for name in ("111012", "122157"):
        measured = child(first, name).MeasuredValueSequence[0]
        assert str(measured.NumericValue) == "91.4"
        assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "%"
    image = child(first, "121112").ReferencedSOPSequence[0]
    assert image.ReferencedSOPInstanceUID == cases.IMAGES[0]


@pytest.mark.parametrize(
    ("probability", "told"), [(0.99999, 99.9), (0.914, 91.4), (0.00001, 0.1)]
)
def test_no_number_claims_certainty(probability: float, told: float) -> None:
    present = cases.finding("Pneumonia", probability, presence=Presence.PRESENT)
    findings = StudyFindings(images=(cases.image(present),))
    group = child(child(report(findings), "126010"), "125007")
    value = child(group, "122157").MeasuredValueSequence[0].NumericValue
    assert float(value) == told


def test_an_uncalibrated_score_is_not_called_a_probability() -> None:
    finding = cases.finding("Pneumonia", 0.9, calibrated=False)
    findings = StudyFindings(images=(cases.image(finding),))
    measurements = child(report(findings), "126010")
    group = child(measurements, "125007")
    assert children(group, "111012")
    assert not children(group, "122157")
    assert "calibrated=no" in [
        item.TextValue for item in children(measurements, "111002")
    ]
    assert "uncalibrated score 90.0 %" in text_of_conclusion(report(findings))


def test_the_algorithm_says_how_to_read_its_numbers() -> None:
    measurements = child(report(cases.positive()), "126010")
    assert child(measurements, "111001").TextValue == "cxr-findings"
    assert child(measurements, "111003").TextValue == "1.2.0"
    parameters = [item.TextValue for item in children(measurements, "111002")]
    assert f"bundle_digest={cases.BUNDLE.digest}" in parameters
    assert "calibrated=yes" in parameters
    assert "operating_point_origin=home" in parameters
    assert (
        "operating_point[Pneumonia]=0.5 grey_zone=0.4..0.5 calibrated=yes" in parameters
    )
    assert code(child(measurements, "111000"), "ConceptCodeSequence") == "123110"


def test_every_label_is_evaluated_positives_first() -> None:
    evaluations = child(report(cases.positive()), "C0034375")
    present, absent, undetermined = "52101004", "272519000", "373068000"
    assert said(evaluations) == [
        ("111017", "111242"),
        ("233604007", present),
        ("60046008", present),
        ("95436008", undetermined),
        ("46621007", absent),
        ("36118008", absent),
        ("19242006", absent),
    ]


def test_a_negative_is_never_a_finding() -> None:
    root = report(cases.negative())
    assert not [item for item in everything(root) if code(item) == "121071"]
    assert not children(root, "126010")
    assert said(child(root, "C0034375"))[0] == ("111017", "111241")
    assert "No finding reached its operating point" in text_of_conclusion(root)


def test_a_negative_report_still_names_its_operating_points() -> None:
    evaluations = child(report(cases.negative()), "C0034375")
    assert "operating_point[Pneumonia]=0.5" in child(evaluations, "121106").TextValue


def text_of_conclusion(root: Dataset) -> str:
    return str(child(child(root, "C0034375"), "121077").TextValue)


def test_the_conclusion_says_what_it_is() -> None:
    words = text_of_conclusion(report(cases.positive()))
    assert words.startswith("AI (cxr-findings 1.2.0) suggests:")
    assert "signs of pneumonia (probability 91.4 %)" in words
    assert "Undetermined: Lung consolidation." in words
    assert "not verified by a physician" in words
    assert "Research use only" in words


def test_several_images_make_one_line_for_each_label() -> None:
    root = report(cases.quality(), quality_context())
    assert said(child(root, "C0034375")) == [
        ("111017", "111244"),
        ("ROTATED", "52101004"),
        ("VIEW-DIFFERS-FROM-HEADER", "52101004"),
        ("111031", "272479007"),
        ("111031", "399348003"),
    ]
    groups = children(child(root, "126010"), "125007")
    images = [
        child(one, "121112").ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for one in groups
    ]
    assert sorted(images) == sorted(cases.IMAGES[:2])


def test_a_statement_without_probability_has_no_number() -> None:
    root = report(cases.quality(), quality_context())
    groups = {
        child(one, "112039").TextValue: one
        for one in children(child(root, "126010"), "125007")
    }
    assert not children(groups["view-differs-from-header"], "111012")
    assert children(groups["rotated"], "111012")


def test_excluded_images_are_said_and_make_the_report_partial() -> None:
    root = report(cases.quality(), quality_context())
    assert "1 of 3 images not analysed: outside the model's domain." in (
        text_of_conclusion(root)
    )
    assert root.CompletionFlag == "PARTIAL"
    assert report(cases.positive()).CompletionFlag == "COMPLETE"


def test_nothing_positive_with_an_excluded_image_is_111243() -> None:
    excluded = (NotAnalysed("too small", cases.IMAGES[1]),)
    root = report(replace(cases.negative(), excluded=excluded))
    assert said(child(root, "C0034375"))[0] == ("111017", "111243")


def test_private_codes_are_identified() -> None:
    root = report(cases.quality(), quality_context())
    schemes = root.CodingSchemeIdentificationSequence
    assert [one.CodingSchemeDesignator for one in schemes] == ["99DCMNODE"]
    assert "CodingSchemeIdentificationSequence" not in report(cases.positive())


def test_not_analysed_gives_the_reason_and_nothing_else() -> None:
    context = cases.context()
    built = build(context, cases.not_analysed(), ["sc"])
    assert [one.kind for one in built] == ["sr", "sr-text"]
    root = built[0].dataset
    assert not children(root, "126010")
    assert said(child(root, "C0034375")) == [("111017", "111245")]
    words = text_of_conclusion(root)
    assert words.startswith(
        "Not analysed: the study holds no frontal chest radiograph."
    )
    assert "not a negative result" in words
    text = child(child(built[1].dataset, "55110-1"), "121077").TextValue
    assert text.startswith("Not analysed: the study holds no frontal")


def test_some_images_analysed_but_no_answer_is_111243() -> None:
    findings = replace(cases.negative(), reason="the images contradict each other")
    assert said(child(report(findings), "C0034375")) == [("111017", "111243")]


def test_not_analysed_without_any_image_has_no_image_library() -> None:
    document = cases.bare_source()
    document.SOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"  # Encapsulated PDF
    built = build(cases.context(document), cases.not_analysed(), ["sr"])
    root = built[0].dataset
    assert not children(root, "111028")
    series = root.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert len(series[0].ReferencedSOPSequence) == 1


def test_the_image_library_copies_what_the_source_says() -> None:
    library = child(child(report(cases.positive()), "111028"), "126200")
    image = library.ContentSequence[0]
    assert code(image) == "260753009"
    assert code(child(image, "121139"), "ConceptCodeSequence") == "DX"
    assert code(child(image, "111031"), "ConceptCodeSequence") == "272479007"
    assert child(image, "111044").TextValue == "L"
    numbers = {
        name: float(child(image, name).MeasuredValueSequence[0].NumericValue)
        for name in ("110910", "110911", "111026", "111066")
    }
    assert numbers == {
        "110910": 2048,
        "110911": 1536,
        "111026": 0.144,
        "111066": 0.143,
    }


def test_every_item_has_a_name_and_no_container_is_continuous() -> None:
    for findings in (cases.positive(), cases.negative(), cases.not_analysed()):
        for one in build(cases.context(), findings, ["sr"]):
            for item in everything(one.dataset):
                assert code(item)
                assert item.get("ContinuityOfContent", "SEPARATE") == "SEPARATE"


def test_the_heat_maps_belong_to_the_evidence() -> None:
    built = build(cases.context(), cases.positive(), ["sr", "sc"])
    study = built[0].dataset.CurrentRequestedProcedureEvidenceSequence[0]
    named = {
        instance.ReferencedSOPInstanceUID
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    captures = {one.sop_instance_uid for one in built if one.kind == "sc"}
    assert named == captures | {cases.IMAGES[0]}


def test_the_text_report_has_one_short_line_for_each_label() -> None:
    root = text_report(cases.positive())
    assert root.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.11"
    lines = [item.TextValue for item in children(child(root, "59776-5"), "121071")]
    assert lines[0] == (
        "Pneumonia: present (probability 91.4 %, at or above operating point 50.0 %)"
    )
    assert lines[5] == (
        "Pulmonary edema: absent (probability 3.1 %, below operating point 50.0 %)"
    )
    assert len(lines) == len(cases.LABELS)
    notes = [item.TextValue for item in children(child(root, "59776-5"), "121106")]
    assert notes[0].startswith("Algorithm: cxr-findings 1.2.0. Intended use: ")
    assert notes[1] == f"Bundle (SHA-256): {cases.BUNDLE.digest}"
    conclusion = child(child(root, "55110-1"), "121077").TextValue
    for line in [*lines, *notes, *conclusion.splitlines()]:
        assert len(line) < 120


def test_a_long_reason_is_wrapped_in_the_text_report() -> None:
    reason = "the detector saw " + "something unusual and " * 20
    findings = StudyFindings(reason=reason)
    conclusion = child(child(text_report(findings), "55110-1"), "121077").TextValue
    assert max(map(len, conclusion.splitlines())) < 120


@pytest.mark.parametrize(
    ("profile", "classes"),
    [
        ("comprehensive", ["88.33", "88.11"]),
        ("comprehensive-3d", ["88.34", "88.11"]),
        ("enhanced", ["88.22", "88.11"]),
        ("basic-text", ["88.11"]),
    ],
)
@pytest.mark.parametrize("findings", [cases.positive(), cases.not_analysed()])
def test_the_profile_chooses_the_sop_class(
    profile: str, classes: list[str], findings: StudyFindings
) -> None:
    built = build(cases.context(profile=profile), findings, ["sr"])
    assert [one.sop_class_uid[-5:] for one in built] == classes


def test_the_tree_is_the_same_in_every_profile() -> None:
    trees = {
        str(report(cases.positive(), cases.context(profile=profile)).ContentSequence)
        for profile in ("comprehensive", "comprehensive-3d", "enhanced")
    }
    assert len(trees) == 1


@pytest.mark.parametrize(
    ("changes", "kinds", "remedy"),
    [
        ({"profile": "fancy"}, ["sr"], "set destination.profile"),
        ({"language": "tlh"}, ["sr"], "set one of en"),
        ({}, ["seg"], "set pipeline.results"),
        ({"sources": ()}, ["sr"], "dicomnode reconcile"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_remedy(
    changes: dict[str, object], kinds: list[str], remedy: str
) -> None:
    context = replace(cases.context(), **changes)
    with pytest.raises(ResultError, match=remedy):
        build(context, cases.positive(), kinds)


def test_findings_about_an_unknown_image_are_refused() -> None:
    findings = cases.about("1.2.3", cases.positive())
    with pytest.raises(ResultError, match=r"instance 1\.2\.3.*pass the header"):
        build(cases.context(), findings, ["sr"])


def test_no_images_and_no_reason_is_refused() -> None:
    with pytest.raises(ResultError, match="say why"):
        build(cases.context(), StudyFindings(), ["sr"])


def test_a_code_without_value_is_refused() -> None:
    finding = cases.finding("Pneumonia", 0.9)
    broken = replace(finding, code=replace(finding.code, value=""))
    findings = StudyFindings(images=(cases.image(broken),))
    with pytest.raises(ResultError, match="retry"):
        build(cases.context(), findings, ["sr"])
