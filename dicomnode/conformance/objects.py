"""What we create: attributes by IOD, templates, codes, character sets."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.datadict import tag_for_keyword

from dicomnode.config import Config
from dicomnode.conformance.markdown import code, table
from dicomnode.domain.findings import Code
from dicomnode.results import LANGUAGES, SOP_CLASSES, codes
from dicomnode.results.header import COPIED_ALWAYS, COPIED_IF_PRESENT
from dicomnode.results.quality_terms import QUALITY
from dicomnode.results.requirements import (
    OPTIONAL,
    REQUIRED,
    TEMPLATES,
    TITLES,
    Row,
)
from dicomnode.results.terms import CHEXPERT

_COPIED, _AUTO = "source, byte for byte", "made by us"
_MANY = 1_000_000


def attributes(kind: str) -> str:
    """The attributes of a kind of result at the top of its data set."""
    type_1, type_2 = REQUIRED[kind]
    types = dict.fromkeys((*COPIED_IF_PRESENT, *OPTIONAL[kind]), "3")
    types |= dict.fromkeys(type_1, "1") | dict.fromkeys(type_2, "2")
    rows = (
        (keyword, _tag(keyword), types[keyword], _COPIED if _copied(keyword) else _AUTO)
        for keyword in sorted(types, key=_tag)
    )
    return table(("Attribute", "Tag", "Type", "Source"), rows)


def _copied(keyword: str) -> bool:
    return keyword in ("StudyInstanceUID", *COPIED_ALWAYS, *COPIED_IF_PRESENT)


def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword) or 0
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def root_templates(config: Config) -> str:
    """Root templates by SOP Class."""
    del config
    rows = (
        (uid.name, uid, *_root(profile), profile)
        for profile, uid in SOP_CLASSES.items()
    )
    columns = ("SOP Class", "UID", "Root", "Template", "destination.profile")
    return table(columns, rows)


def _root(profile: str) -> tuple[str, str]:
    concept, template = TITLES["sr-text" if profile == "basic-text" else "sr"]
    return _concept(concept), f"TID {template}"


def templates(config: Config) -> str:
    """The rows of our documents: what stands in which container, how often."""
    del config
    columns = ("In", "Relationship", "Value Type", "Concept Name", "VM", "Template")
    return table(columns, _rows())


def _rows() -> Iterator[tuple[str, ...]]:
    for container, rows in TEMPLATES.items():
        for row in rows:
            yield (
                _concept(container),
                row.relationship,
                row.value_type,
                _concept(row.name),
                _multiplicity(row),
                _template(container, row),
            )


def _multiplicity(row: Row) -> str:
    most = "n" if row.most >= _MANY else str(row.most)
    return most if str(row.least) == most else f"{row.least}-{most}"


_OBSERVER = {"121005", "121012", "121013", "121014", "121015"}
_ALGORITHM = {"111000", "111001", "111002", "111003"}
_CONTAINERS = {
    "126000": "TID 1500",
    "111028": "TID 1600",
    "126200": "TID 1600",
    "126010": "TID 1500",
    "125007": "TID 1501",
    "C0034375": "TID 1500",
    "18748-4": "TID 2000",
    "55110-1": "TID 2002",
    "59776-5": "TID 2002",
}


def _template(container: str, row: Row) -> str:
    if row.name == "121049":
        return "TID 1204"
    if row.name in _OBSERVER:
        return "TID 1001, 1004"
    if row.name in _ALGORITHM:
        return "TID 4019"
    if row.name == "111030":
        return "TID 1410"
    return _CONTAINERS[container]


def concepts(config: Config) -> str:
    """Every concept that the program itself writes."""
    del config
    rows = sorted((one.scheme, one.value, one.meaning) for one in _own())
    return table(("Coding Scheme", "Code Value", "Code Meaning"), rows)


def findings(config: Config) -> str:
    """The findings that the program knows; a bundle may bring others."""
    del config
    rows = (
        (
            one.label,
            code(one.code.value, one.code.scheme, one.code.meaning),
            code(one.site.value, one.site.scheme, one.site.meaning) if one.site else "",
            one.radlex,
            one.umls,
            one.private,
        )
        for one in (*CHEXPERT, *QUALITY)
    )
    columns = ("Label", "Code", "Finding Site", "RADLEX", "UMLS", codes.PRIVATE_SCHEME)
    return table(columns, rows)


def coding_schemes(config: Config) -> str:
    """Coding Scheme Designators in what we create."""
    del config
    used = {one.scheme for one in _own()}
    used |= {one.code.scheme for one in (*CHEXPERT, *QUALITY)}
    used |= {"RADLEX"}
    rows = ((one, _SCHEMES[one]) for one in sorted(used))
    return table(("Coding Scheme Designator", "What it is"), rows)


_SCHEMES = {
    "99DCMNODE": f"{codes.PRIVATE_SCHEME_NAME}; Coding Scheme Identification Sequence "
    "names it",
    "DCM": "DICOM Controlled Terminology, PS3.16 Annex D",
    "LN": "LOINC",
    "RADLEX": "RadLex, if results.code_scheme asks for it",
    "RFC5646": "Tags for Identifying Languages",
    "SCT": "SNOMED CT",
    "UCUM": "Unified Code for Units of Measure",
    "UMLS": "Unified Medical Language System",
}


def languages(config: Config) -> str:
    """Languages of our own sentences, with the code in (121049, DCM)."""
    rows = (
        (
            name,
            code(one.value, one.scheme, one.meaning),
            "default" * (name == config.results.language),
        )
        for name, one in LANGUAGES.items()
    )
    return table(("results.language", "Code", ""), rows)


def _own() -> set[Code]:
    named = (getattr(codes, name) for name in dir(codes) if name.isupper())
    found: set[Code] = set()
    for one in named:
        if isinstance(one, Code):
            found.add(one)
        elif isinstance(one, dict):
            found |= {value for value in one.values() if isinstance(value, Code)}
    return found


def _concept(value: str) -> str:
    if value == "*":
        return "any finding or category of the bundle"
    by_value = {one.value: one for one in _own()}
    one = by_value[value]
    return code(one.value, one.scheme, one.meaning)
