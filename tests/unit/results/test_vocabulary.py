"""Every shipped code against a table checked by hand, and against pydicom's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydicom.sr.codedict import codes as dictionary

from dicomnode.domain.findings import Code
from dicomnode.results import codes
from dicomnode.results.quality_terms import QUALITY
from dicomnode.results.terms import CHEXPERT
from dicomnode.results.vocabulary import CODE_SCHEMES, meaning, recoded
from dicomnode.results.wording import WORDINGS

ROOT = Path(__file__).resolve().parents[3]

# label: code, scheme, site, RadLex, UMLS
CHECKED = {
    "No Finding": ("121402", "DCM", "", "", ""),
    "Enlarged Cardiomediastinum": ("C2021206", "UMLS", "72410000", "", "C2021206"),
    "Cardiomegaly": ("8186001", "SCT", "80891009", "", "C0018800"),
    "Lung Lesion": ("52988006", "SCT", "39607008", "", "C0577916"),
    "Lung Opacity": ("112033", "DCM", "39607008", "", "C4728208"),
    "Edema": ("19242006", "SCT", "39607008", "RID4866", "C0034063"),
    "Consolidation": ("95436008", "SCT", "39607008", "RID43255", "C0521530"),
    "Pneumonia": ("233604007", "SCT", "39607008", "RID5350", "C0032285"),
    "Atelectasis": ("46621007", "SCT", "39607008", "RID28493", "C0004144"),
    "Pneumothorax": ("36118008", "SCT", "3120008", "RID5352", "C0032326"),
    "Pleural Effusion": ("60046008", "SCT", "3120008", "RID34539", "C0032227"),
    "Pleural Other": ("C0032226", "UMLS", "3120008", "", "C0032226"),
    "Fracture": ("125605004", "SCT", "816094009", "RID4650", "C0016658"),
    "Support Devices": ("C0025080", "UMLS", "816094009", "", "C0025080"),
}
# What DICOM itself defines (PS3.16): value, scheme -> meaning there.
DEFINED = {
    ("112033", "DCM"): "Abnormal opacity",
    ("19242006", "SCT"): "Pulmonary edema",
    ("36118008", "SCT"): "Pneumothorax",
    ("60046008", "SCT"): "Pleural effusion",
    ("52988006", "SCT"): "Lesion",
    ("121402", "DCM"): "Normality",
    ("39607008", "SCT"): "Lung",
    ("3120008", "SCT"): "Pleura",
    ("80891009", "SCT"): "Heart",
    ("72410000", "SCT"): "Mediastinum",
}


def test_the_fourteen_labels_have_the_checked_codes() -> None:
    shipped = {
        one.label: (
            one.code.value,
            one.code.scheme,
            one.site.value if one.site else "",
            one.radlex,
            one.umls,
        )
        for one in CHEXPERT
    }
    assert shipped == CHECKED


def _in_dictionary(scheme: str) -> dict[str, str]:
    entries = getattr(dictionary, scheme)
    found = (getattr(entries, keyword) for keyword in entries.dir())
    return {one.value: one.meaning for one in found}


@pytest.mark.parametrize("scheme", ["DCM", "SCT"])
def test_codes_that_dicom_defines_mean_there_what_they_mean_here(scheme: str) -> None:
    known = _in_dictionary(scheme)
    for (value, one), meaning_here in DEFINED.items():
        if one == scheme:
            # SNOMED's long names: "Lung structure (body structure)".
            assert known[value].startswith(meaning_here), value


def _in_dictionary(scheme: str) -> dict[str, str]:
    entries = getattr(dictionary, scheme)
    found = (getattr(entries, keyword) for keyword in entries.dir())
    return {one.value: one.meaning for one in found}


def _own_codes() -> list[Code]:
    named = [one for one in vars(codes).values() if isinstance(one, Code)]
    return [*named, *codes.PRESENCE.values(), *codes.VIEWS.values()]


@pytest.mark.parametrize(
    "code", _own_codes(), ids=lambda one: f"{one.scheme} {one.value}"
)
def test_codes_of_the_templates_are_those_of_the_standard(code: Code) -> None:
    if code.scheme not in ("DCM", "SCT"):
        assert code.scheme in ("LN", "UCUM", "UMLS", "RFC5646")
        return
    known = _in_dictionary(code.scheme)
    assert code.value in known
    if code.scheme == "DCM":
        assert known[code.value].casefold() == code.meaning.casefold()


def test_private_codes_are_valid_and_each_is_one_finding() -> None:
    private = [one.private for one in (*CHEXPERT, *QUALITY)]
    assert len(set(private)) == len(private)
    assert max(map(len, private)) <= 16


def test_every_finding_of_a_shipped_bundle_is_in_the_table() -> None:
    known = {(one.code.value, one.code.scheme) for one in (*CHEXPERT, *QUALITY)}
    descriptions = sorted((ROOT / "model" / "bundles").glob("*/bundle.json"))
    assert descriptions
    for path in descriptions:
        bundle = json.loads(path.read_text(encoding="utf-8"))
        for one in (*bundle["labels"], *bundle.get("header_checks", ())):
            if one.get("kind", "finding") == "finding":
                code = one["code"]
                assert (code["value"], code["scheme"]) in known, (path, one)


def test_every_finding_has_a_name_in_every_language() -> None:
    for term in (*CHEXPERT, *QUALITY):
        assert set(term.names) == set(WORDINGS) - {"en"}
        for language in WORDINGS:
            assert 0 < len(meaning(term.code, language)) <= 64


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        ("bundle", ("36118008", "SCT")),
        ("radlex", ("RID5352", "RADLEX")),
        ("umls", ("C0032326", "UMLS")),
        ("private", ("CXR-PNEUMOTHORAX", "99DCMNODE")),
    ],
)
def test_a_site_chooses_its_codes(scheme: str, expected: tuple[str, str]) -> None:
    code = recoded(Code("36118008", "SCT", "Pneumothorax"), scheme)
    assert (code.value, code.scheme, code.meaning) == (*expected, "Pneumothorax")
    assert meaning(code, "ja") == "気胸"


def test_what_has_no_equivalent_becomes_private() -> None:
    opacity = Code("112033", "DCM", "Abnormal opacity")
    assert recoded(opacity, "radlex").value == "CXR-OPACITY"
    unknown = Code("123456", "SCT", "Something else")
    assert recoded(unknown, "umls") == Code("SCT-123456", "99DCMNODE", "Something else")
    own = Code("RID1", "RADLEX", "As the bundle has it")
    assert recoded(own, "radlex") == own
    site = Code("X", "99HOSP", "Of the site")
    assert all(recoded(site, scheme) == site for scheme in CODE_SCHEMES)


def test_the_document_has_every_line_of_the_table() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for term in (*CHEXPERT, *QUALITY):
        site = f"{term.site.value} {term.site.meaning}" if term.site else ""
        code = f'({term.code.value},{term.code.scheme},"{term.code.meaning}")'
        cells = (term.label, code, term.source, site)
        cells = (*cells, term.radlex, term.umls, term.private)
        assert f"| {' | '.join(cells)} |" in text
    for view in codes.VIEWS.values():
        assert f'({view.value},{view.scheme},"{view.meaning}")' in text
