"""Patient and study reach the result byte for byte, in every character set."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicomnode.domain.findings import StudyFindings
from dicomnode.errors import ResultError
from dicomnode.results import build, encode
from tests.unit.results import cases

COPIED = (
    "SpecificCharacterSet",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
CHARSET_FILES = [
    "chrArab",
    "chrFren",
    "chrFrenMulti",
    "chrGerm",
    "chrGreek",
    "chrH31",
    "chrH32",
    "chrHbrw",
    "chrI2",
    "chrJapMulti",
    "chrJapMultiExplicitIR6",
    "chrKoreanMulti",
    "chrRuss",
    "chrSQEncoding",
    "chrSQEncoding1",
    "chrX1",
    "chrX2",
]
JAPANESE = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
CHINESE = "Wang^XiaoDong=王^小东".encode("gb18030")
KOREAN = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"


def raw(dataset: Dataset, keyword: str) -> bytes | None:
    tag = Tag(keyword)
    return dataset.get_item(tag).value if tag in dataset else None


def written(source: Dataset) -> Dataset:
    """``source`` as a file gives it: its bytes not yet parsed."""
    buffer = BytesIO()
    source.save_as(buffer, implicit_vr=False, little_endian=True)
    return dcmread(BytesIO(buffer.getvalue()), force=True)


def with_raw_name(charset: list[str] | str, name: bytes) -> Dataset:
    source = cases.source(SpecificCharacterSet=charset)
    for keyword in ("PatientName", "ReferringPhysicianName", "StudyDescription"):
        setattr(source, keyword, "")
    source = written(source)
    padded = name + b" " * (len(name) % 2)
    element = source.get_item("PatientName")
    source[Tag("PatientName")] = element._replace(value=padded, length=len(padded))
    return source


def results(source: Dataset, findings: StudyFindings) -> list[Dataset]:
    uid = str(source.SOPInstanceUID)
    built = build(cases.context(source), cases.about(uid, findings), ["sr", "sc"])
    return [dcmread(BytesIO(encode(one.dataset))) for one in built]


def assert_copied(source: Dataset, result: Dataset) -> None:
    for keyword in COPIED:
        expected = raw(source, keyword)
        if expected is None:
            assert not raw(result, keyword), keyword
        else:
            assert raw(result, keyword) == expected, keyword


@pytest.mark.parametrize("name", CHARSET_FILES)
def test_every_character_set_arrives_byte_for_byte(
    shared_data: Path, name: str
) -> None:
    path = shared_data / "dicom" / "charset" / f"{name}.dcm"
    source = dcmread(path, stop_before_pixels=True)
    if "StudyInstanceUID" not in source:  # two files are only about sequences
        source.update(cases.bare_source())
        source = written(source)
    for result in results(source, cases.negative()):
        assert_copied(source, result)


def test_every_shared_file_is_tried(shared_data: Path) -> None:
    folder = shared_data / "dicom" / "charset"
    assert sorted(one.stem for one in folder.glob("*.dcm")) == sorted(CHARSET_FILES)


@pytest.mark.parametrize(
    ("charset", "name", "reads"),
    [
        (["", "ISO 2022 IR 87"], JAPANESE, "Yamada^Tarou=山田^太郎"),
        ("GB18030", CHINESE, "Wang^XiaoDong=王^小东"),
        (["", "ISO 2022 IR 149"], KOREAN, "Hong^Gildong=洪^吉洞"),
        ("", b"Mu\xfcller^\xc4nne", None),
    ],
)
def test_names_survive_in_every_object(
    charset: list[str] | str, name: bytes, reads: str | None
) -> None:
    source = with_raw_name(charset, name)
    for result in results(source, cases.negative()):
        assert raw(result, "PatientName") == raw(source, "PatientName")
        if reads is not None:
            assert str(result.PatientName) == reads


def test_a_parsed_source_gives_the_same_bytes() -> None:
    untouched = with_raw_name(["", "ISO 2022 IR 87"], JAPANESE)
    read = with_raw_name(["", "ISO 2022 IR 87"], JAPANESE)
    str(read)  # parses every element
    findings = cases.negative()
    first = build(cases.context(untouched), findings, ["sr"])
    second = build(cases.context(read), findings, ["sr"])
    assert [encode(one.dataset) for one in first] == [
        encode(one.dataset) for one in second
    ]


def test_the_source_is_not_changed() -> None:
    source = with_raw_name(["", "ISO 2022 IR 87"], JAPANESE)
    before = {keyword: raw(source, keyword) for keyword in COPIED[1:]}
    for result in results(source, cases.negative()):
        result.PatientName = "Other^Name"
    assert {keyword: raw(source, keyword) for keyword in COPIED[1:]} == before


def _greek_finding() -> StudyFindings:
    return StudyFindings(
        images=(
            cases.image(
                cases.finding("Pneumonia", 0.9, text="Ενδείξεις πνευμονίας"),
            ),
        ),
    )


def test_text_of_ours_that_does_not_fit_turns_all_into_unicode() -> None:
    source = written(cases.source())
    for result in results(source, _greek_finding())[:2]:
        assert result.SpecificCharacterSet == "ISO_IR 192"
        assert raw(result, "PatientName") == "Müller^Änne ".encode()
        assert raw(result, "ReferringPhysicianName") == "Bär^Jörg".encode()
        assert "Ενδείξεις πνευμονίας".encode() in encode(result)


def test_japanese_becomes_unicode_without_loss() -> None:
    source = with_raw_name(["", "ISO 2022 IR 87"], JAPANESE)
    result = results(source, _greek_finding())[0]
    assert result.SpecificCharacterSet == "ISO_IR 192"
    assert str(result.PatientName) == "Yamada^Tarou=山田^太郎"


def test_bytes_of_unknown_charset_are_never_guessed() -> None:
    source = with_raw_name("", b"M\xfcller^\xc4nne")
    result = results(source, _greek_finding())[0]
    assert raw(result, "PatientName") == b"M\xfcller^\xc4nne "
    assert b"- ????????? ?????????? (probability" in encode(result)
    assert "SpecificCharacterSet" not in result or not result.SpecificCharacterSet


def test_a_source_that_lacks_nearly_everything_gives_empty_type_2() -> None:
    for result in results(cases.bare_source(), cases.negative()):
        for keyword in (
            "PatientName",
            "PatientID",
            "PatientBirthDate",
            "PatientSex",
            "StudyDate",
            "StudyTime",
            "StudyID",
            "AccessionNumber",
            "ReferringPhysicianName",
        ):
            assert keyword in result
            assert not raw(result, keyword), f"{keyword} was invented"
        assert "ReferencedRequestSequence" not in result


def test_private_elements_and_frame_of_reference_stay_behind() -> None:
    source = cases.source(FrameOfReferenceUID="1.2.3")
    source.private_block(0x0011, "SECRET", create=True).add_new(1, "LO", "x")
    for result in results(source, cases.negative()):
        assert "FrameOfReferenceUID" not in result
        assert not [tag for tag in result.keys() if tag.is_private]  # noqa: SIM118


def test_the_order_is_named_with_its_own_bytes() -> None:
    source = with_raw_name(["", "ISO 2022 IR 87"], JAPANESE)
    order = Dataset()
    order.RequestedProcedureID = "RP1"
    order.RequestedProcedureDescription = "胸部正面"
    source.RequestAttributesSequence = [order]
    source = written(source)
    sent = source.RequestAttributesSequence[0]
    expected = raw(sent, "RequestedProcedureDescription")
    item = results(source, cases.negative())[0].ReferencedRequestSequence[0]
    assert raw(item, "RequestedProcedureDescription") == expected
    assert item.RequestedProcedureID == "RP1"
    assert item.AccessionNumber == "ACC4711"
    assert item.StudyInstanceUID == cases.STUDY
    assert item.PlacerOrderNumberImagingServiceRequest in ("", None)


def test_one_order_in_two_images_is_named_once() -> None:
    orders = []
    for number in (0, 1):
        source = cases.source(number)
        item = Dataset()
        item.RequestedProcedureID = "RP1"
        source.RequestAttributesSequence = [item]
        orders.append(source)
    built = build(cases.context(*orders), cases.negative(), ["sr"])
    assert len(built[0].dataset.ReferencedRequestSequence) == 1


def test_the_procedure_of_the_source_is_reported() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "RPID2503", "99HOSP"
    code.CodeMeaning = "Röntgen Thorax"
    source = written(cases.source(ProcedureCodeSequence=[code]))
    report = results(source, cases.negative())[0]
    item = next(
        one
        for one in report.ContentSequence
        if one.ConceptNameCodeSequence[0].CodeValue == "121058"
    )
    assert raw(item.ConceptCodeSequence[0], "CodeMeaning") == raw(
        source.ProcedureCodeSequence[0], "CodeMeaning"
    )
    assert item.ConceptCodeSequence[0].CodeMeaning == "Röntgen Thorax"
    designators = [
        one.CodingSchemeDesignator for one in report.CodingSchemeIdentificationSequence
    ]
    assert designators == ["99HOSP"]


@pytest.mark.parametrize(
    ("offset", "date", "time"),
    [("+0900", "20260728", "073015"), ("-0330", "20260727", "190015")],
)
def test_times_are_in_the_zone_of_the_source(offset: str, date: str, time: str) -> None:
    source = cases.source(TimezoneOffsetFromUTC=offset)
    for result in results(source, cases.negative()):
        assert (result.ContentDate, result.ContentTime) == (date, time)
        assert result.TimezoneOffsetFromUTC == offset
        made = result.ContributingEquipmentSequence[0].ContributionDateTime
        assert made == f"{date}{time}{offset}"


def test_no_zone_is_claimed_for_a_study_time_without_one() -> None:
    for result in results(cases.source(), cases.negative()):
        assert "TimezoneOffsetFromUTC" not in result
        assert (result.ContentDate, result.ContentTime) == ("20260727", "223015")
        made = result.ContributingEquipmentSequence[0].ContributionDateTime
        assert made == "20260727223015+0000"


def test_utc_is_said_where_it_can_mislead_nobody() -> None:
    for result in results(cases.bare_source(), cases.negative()):
        assert result.TimezoneOffsetFromUTC == "+0000"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "PatientID"])
def test_sources_that_disagree_are_refused(keyword: str) -> None:
    other = cases.source(1, **{keyword: "1.2.3.4"})
    with pytest.raises(ResultError, match=f"agree on {keyword}.*correct") as caught:
        build(cases.context(cases.source(), other), cases.negative(), ["sr"])
    assert "P-001" not in str(caught.value)


def _lack(keyword: str) -> Dataset:
    source = cases.source()
    delattr(source, keyword)
    return source


@pytest.mark.parametrize(
    "make",
    [
        lambda: _lack("SOPClassUID"),
        lambda: _lack("SeriesInstanceUID"),
        lambda: cases.source(SeriesInstanceUID="not a uid"),
    ],
)
def test_a_source_that_cannot_be_named_is_refused(
    make: Callable[[], Dataset],
) -> None:
    with pytest.raises(ResultError, match="send the study again"):
        build(cases.context(make()), cases.negative(), ["sr"])
