"""Every language says everything, and says that it is research."""

from __future__ import annotations

import string
from dataclasses import fields, replace
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.domain.findings import StudyFindings
from dicomnode.results import LANGUAGES, ReportContext, build, encode
from dicomnode.results.wording import ENGLISH, WORDINGS, Wording, wording_of
from tests.unit.results import cases
from tests.unit.results.test_identity import with_raw_name

OTHERS = sorted(set(WORDINGS) - {"en"})


def texts(words: Wording) -> dict[str, str]:
    said = {one.name: getattr(words, one.name) for one in fields(words)}
    said["disclaimer"] = " ".join(words.disclaimer)
    return {name: text for name, text in said.items() if isinstance(text, str)}


def blanks(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_language_of_the_reports_has_its_texts_and_its_code() -> None:
    assert {one.partition("-")[0] for one in LANGUAGES} == set(WORDINGS)
    assert wording_of("en-GB") is ENGLISH


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_fills_the_same_blanks_with_words_of_its_own(language: str) -> None:
    english, here = texts(ENGLISH), texts(WORDINGS[language])
    assert {name: blanks(text) for name, text in here.items()} == {
        name: blanks(text) for name, text in english.items()
    }
    same = {name for name, text in here.items() if text == english[name]}
    assert same <= {"stop", "comma", "colon", "by", "bundle", "absent"}


@pytest.mark.parametrize("language", sorted(WORDINGS))
def test_every_language_says_that_it_is_research(language: str) -> None:
    assert "Research use only" in " ".join(WORDINGS[language].disclaimer)


def read(context: ReportContext, findings: StudyFindings) -> list[Dataset]:
    built = build(context, findings, ["sr", "sc", "gsps"])
    return [dcmread(BytesIO(encode(one.dataset))) for one in built]


def spoken(root: Dataset) -> str:
    texts: list[str] = []
    for item in root.get("ContentSequence") or ():
        texts += [str(item.get("TextValue", "")), spoken(item)]
    return "\n".join(texts)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("de", ["weist hin auf", "Pneumonie: vorhanden", "Wahrscheinlichkeit 91.4 %"]),
        ("fr", ["suggère", "Épanchement pleural : présent", "probabilité 91.4 %"]),
        ("es", ["sugiere", "Neumonía: presente", "probabilidad 91.4 %"]),
        ("zh", ["提示", "肺炎: 存在", "概率 91.4 %"]),
        ("ja", ["示唆します", "肺炎: あり", "確率 91.4 %"]),
    ],
)
def test_reports_speak_the_language_and_name_it(
    language: str, expected: list[str]
) -> None:
    sr, text, *_ = read(cases.context(language=language), cases.positive())
    for root in (sr, text):
        named = root.ContentSequence[0].ConceptCodeSequence[0]
        assert (named.CodeValue, named.CodingSchemeDesignator) == (language, "RFC5646")
    for words in expected:
        assert words in spoken(text), words
    assert expected[0] in spoken(sr)


@pytest.mark.parametrize("language", OTHERS)
def test_not_analysed_is_said_in_every_language(language: str) -> None:
    context = cases.context(language=language, earlier=(cases.kept(),))
    for root in read(context, cases.not_analysed()):
        words = WORDINGS[language]
        assert words.not_analysed.partition("{")[0] in spoken(root)
        assert words.replaces in spoken(root)


@pytest.mark.parametrize("language", ["zh", "ja", "de"])
def test_bytes_of_no_known_character_set_make_the_report_english(language: str) -> None:
    source = with_raw_name("", b"M\xfcller^\xc4nne")
    context = cases.context(source, language=language)
    for root in read(context, cases.positive())[:2]:
        assert "suggests" in spoken(root)
        assert root.ContentSequence[0].ConceptCodeSequence[0].CodeValue == "en"
        assert "?" not in spoken(root)


def test_a_japanese_study_with_a_japanese_report_keeps_its_name() -> None:
    source = cases.source(SpecificCharacterSet=["", "ISO 2022 IR 87"])
    source.PatientName = "Yamada^Tarou=山田^太郎"
    for root in read(cases.context(source, language="ja"), cases.positive())[:2]:
        assert str(root.PatientName) == "Yamada^Tarou=山田^太郎"
        assert "肺炎: あり" in spoken(root) or root.SOPClassUID.endswith("88.33")


def test_codes_and_pages_stay_as_they_are() -> None:
    first = read(cases.context(), cases.positive())
    second = read(cases.context(language="de"), cases.positive())
    pixels = [
        [one.PixelData for one in ds if "PixelData" in one] for ds in (first, second)
    ]
    assert pixels[0] == pixels[1]
    values = [
        [
            item.ConceptNameCodeSequence[0].get("CodeValue")
            for item in ds.ContentSequence
        ]
        for ds in (first[0], second[0])
    ]
    assert values[0] == values[1]


def test_a_bundles_own_sentence_is_kept_where_no_name_is_known() -> None:
    odd = cases.finding(
        "Pneumonia", 0.9, code=replace(cases.LUNG, value="1"), text="Etwas Eigenes"
    )
    findings = StudyFindings(images=(cases.image(odd),))
    assert "- Etwas Eigenes (" in spoken(
        read(cases.context(language="fr"), findings)[0]
    )
