"""What the last look asks of one content item, by itself (PS3.3 C.17.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicomnode.results.charset import text_of
from dicomnode.results.requirements import VALUES
from dicomnode.results.uids import is_valid_uid


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """Of an item without its children.

    ``name`` is the code of its concept, ``answers`` the codes that are its value,
    ``references`` the instances it names, ``defects`` what is wrong with it.
    """

    value_type: str
    relationship: str
    name: str
    answers: tuple[str, ...]
    references: tuple[str, ...]
    defects: tuple[str, ...]


def facts_of(item: Dataset) -> ItemFacts:
    """What an item says of itself."""
    value_type = text_of(item, "ValueType")
    concept = tuple(item.get("ConceptNameCodeSequence") or ())
    name = next(map(_value, concept), "")
    return ItemFacts(
        value_type=value_type,
        relationship=text_of(item, "RelationshipType"),
        name=name,
        answers=tuple(map(_value, _codes(item, "ConceptCodeSequence"))),
        references=tuple(
            text_of(one, "ReferencedSOPInstanceUID")
            for one in item.get("ReferencedSOPSequence") or ()
        ),
        defects=tuple(_defects(item, VALUES.get(value_type, ""), name, concept)),
    )


def _defects(
    item: Dataset, value: str, name: str, concept: tuple[Dataset, ...]
) -> Iterator[str]:
    if not name:
        yield "a content item has no concept name"
    elif not value or value not in item or item[value].is_empty:
        yield f"content item {name} has no value"
    for code in (*concept, *_codes(item, value)):
        yield from _code_defects(code)
    if value == "UID" and not is_valid_uid(text_of(item, "UID")):
        yield f"content item {name} is not a valid UID"


def _codes(item: Dataset, keyword: str) -> Iterable[Dataset]:
    return item.get(keyword) or () if keyword.endswith("CodeSequence") else ()


def _code_defects(code: Dataset) -> Iterator[str]:
    if not (_value(code) and text_of(code, "CodeMeaning")):
        yield "a code has no value or no meaning"
    if not (text_of(code, "CodingSchemeDesignator") or "URNCodeValue" in code):
        yield "a code has no coding scheme"


def _value(code: Dataset) -> str:
    parts = ("CodeValue", "LongCodeValue", "URNCodeValue")
    return next((text for one in parts if (text := text_of(code, one))), "")
