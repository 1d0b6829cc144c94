"""A last look at every object before it leaves: PS3.3 types and template rows.

Independent validators say more, but they are not there at run time. What fails here
is a defect or a hopeless source, and is never sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from dicomnode.errors import ResultError
from dicomnode.results import codes
from dicomnode.results.charset import text_of
from dicomnode.results.header import RESEARCH_USE_ONLY
from dicomnode.results.requirements import (
    MOST_CHARACTERS,
    REQUIRED,
    TEMPLATES,
    TITLES,
    VALUES,
    Row,
)
from dicomnode.results.uids import is_valid_uid

_UIDS = (
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceCreatorUID",
)
_OURS = ("SeriesDescription", "Manufacturer", "ManufacturerModelName", "StationName")
_GROUP, _EVALUATIONS, _FINDING = "125007", "C0034375", "121071"
_ANCHORS = frozenset({"111030", "121112"})


def check(dataset: Dataset, kind: str) -> None:
    """Raise ResultError with every defect found in a finished object."""
    defects = [*_missing(dataset, kind), *_bad_uids(dataset), *_unmarked(dataset)]
    defects += _too_long(dataset, _OURS)
    if kind in TITLES and not defects:
        defects += [*_template_defects(dataset, kind), *_item_defects(dataset)]
        defects += [*_unproven(dataset), *_unsaid(dataset), *_bad_predecessors(dataset)]
    if kind == "sc" and not defects:
        defects += _pixel_defects(dataset)
    if kind == "gsps" and not defects:
        defects += _state_defects(dataset)
    if defects:
        message = (
            f"the {kind} result is not conformant: {'; '.join(defects)}. Correct the "
            "bundle's codes or the study's header, then `dicomnode retry` the job"
        )
        raise ResultError(message)


def _missing(dataset: Dataset, kind: str) -> Iterator[str]:
    type_1, type_2 = REQUIRED[kind]
    for keyword in type_1:
        if keyword not in dataset or dataset[keyword].is_empty:
            yield f"{keyword} (Type 1) has no value"
    for keyword in type_2:
        if keyword not in dataset:
            yield f"{keyword} (Type 2) is absent"


def _bad_uids(dataset: Dataset) -> Iterator[str]:
    for keyword in _UIDS:
        if not is_valid_uid(text_of(dataset, keyword)):
            yield f"{keyword} is not a valid UID"


def _unmarked(dataset: Dataset) -> Iterator[str]:
    if RESEARCH_USE_ONLY not in text_of(dataset, "SeriesDescription"):
        yield f"SeriesDescription does not say {RESEARCH_USE_ONLY!r}"


def _too_long(dataset: Dataset, keywords: Iterable[str]) -> Iterator[str]:
    # Of what we write ourselves: a copied value stays as it is, right or wrong.
    for keyword in keywords:
        if keyword not in dataset:
            continue
        most = MOST_CHARACTERS.get(str(dataset[keyword].VR))
        if most is not None and len(text_of(dataset, keyword)) > most:
            yield f"{keyword} has more than {most} characters"


def _template_defects(dataset: Dataset, kind: str) -> Iterator[str]:
    title, template = TITLES[kind]
    if _name(dataset) != title:
        yield f"the title is not {title}"
    named = [one.TemplateIdentifier for one in dataset.ContentTemplateSequence]
    if named != [template]:
        yield f"the root does not name template {template}"
    for parent in (dataset, *_items(dataset)):
        yield from _row_defects(parent, TEMPLATES.get(_name(parent), ()))


def _row_defects(parent: Dataset, rows: tuple[Row, ...]) -> Iterator[str]:
    place, counts = 0, dict.fromkeys(rows, 0)
    for item in parent.get("ContentSequence") or () if rows else ():
        number = _row_of(item, rows)
        if number is None:
            yield f"{_name(item)} has no place in {_name(parent)}"
            continue
        if number < place:
            yield f"{_name(item)} is out of order in {_name(parent)}"
        place = max(place, number)
        counts[rows[number]] += 1
    for row, count in counts.items():
        if not row.least <= count <= row.most:
            yield f"{_name(parent)} has {count} times {row.name}"


def _row_of(item: Dataset, rows: tuple[Row, ...]) -> int | None:
    name = _name(item)
    shape = text_of(item, "ValueType"), text_of(item, "RelationshipType")
    fitting = [
        number
        for number, row in enumerate(rows)
        if (row.value_type, row.relationship) == shape and row.name in (name, "*")
    ]
    exact = [number for number in fitting if rows[number].name != "*"]
    return next(iter((*exact, *fitting)), None)


def _item_defects(dataset: Dataset) -> Iterator[str]:
    for item in _items(dataset):
        value = VALUES.get(text_of(item, "ValueType"), "")
        if not _name(item):
            yield "a content item has no concept name"
        elif not value or value not in item or item[value].is_empty:
            yield f"content item {_name(item)} has no value"
        for code in (*_codes(item, "ConceptNameCodeSequence"), *_codes(item, value)):
            yield from _code_defects(code)
        if value == "UID" and not is_valid_uid(text_of(item, "UID")):
            yield f"content item {_name(item)} is not a valid UID"
        if _name(item) == _GROUP and len(_ANCHORS & set(_names(item))) != 1:
            yield "a measurement group has not one image or one region"


def _codes(item: Dataset, keyword: str) -> Iterable[Dataset]:
    return item.get(keyword) or () if keyword.endswith("CodeSequence") else ()


def _code_defects(code: Dataset) -> Iterator[str]:
    if not (_value(code) and text_of(code, "CodeMeaning")):
        yield "a code has no value or no meaning"
    if not (text_of(code, "CodingSchemeDesignator") or "URNCodeValue" in code):
        yield "a code has no coding scheme"


def _unproven(dataset: Dataset) -> Iterator[str]:
    known = {
        text_of(instance, "ReferencedSOPInstanceUID")
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    for item in _items(dataset):
        for instance in item.get("ReferencedSOPSequence") or ():
            uid = text_of(instance, "ReferencedSOPInstanceUID")
            if uid not in known:
                yield f"instance {uid} is referred to but not in the evidence"


def _unsaid(dataset: Dataset) -> Iterator[str]:
    # A viewer prints "Finding: X" for a group, so X must be said to be present.
    present = {
        _name(item)
        for parent in _items(dataset)
        if _name(parent) == _EVALUATIONS
        for item in parent.ContentSequence
        if codes.PRESENT.value in map(_value, _codes(item, "ConceptCodeSequence"))
    }
    for group in _items(dataset):
        for item in (
            group.get("ContentSequence") or () if _name(group) == _GROUP else ()
        ):
            found = [*map(_value, _codes(item, "ConceptCodeSequence"))]
            if _name(item) == _FINDING and not present.issuperset(found):
                yield f"a group has the finding {found} that is not stated as present"


def _bad_predecessors(dataset: Dataset) -> Iterator[str]:
    for study in dataset.get("PredecessorDocumentsSequence") or ():
        for series in study.ReferencedSeriesSequence:
            for instance in series.ReferencedSOPSequence:
                uid = text_of(instance, "ReferencedSOPInstanceUID")
                if not is_valid_uid(uid) or uid == text_of(dataset, "SOPInstanceUID"):
                    yield "a predecessor is no other document"


def _pixel_defects(dataset: Dataset) -> Iterator[str]:
    expected = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
    if len(dataset.PixelData) != expected + expected % 2:
        yield "PixelData has not the length of Rows, Columns and SamplesPerPixel"
    if "BodyPartExamined" not in dataset and "Laterality" not in dataset:
        yield "Laterality (Type 2C) is absent without BodyPartExamined"


def _state_defects(dataset: Dataset) -> Iterator[str]:
    layers = {text_of(one, "GraphicLayer") for one in dataset.GraphicLayerSequence}
    for annotation in dataset.GraphicAnnotationSequence:
        if text_of(annotation, "GraphicLayer") not in layers:
            yield "an annotation lies on no layer"
        for graphic in annotation.get("GraphicObjectSequence") or ():
            if len(graphic.GraphicData) != 2 * graphic.NumberOfGraphicPoints:
                yield "an outline has not the number of points it says"


def _items(parent: Dataset) -> Iterator[Dataset]:
    for item in parent.get("ContentSequence") or ():
        yield item
        yield from _items(item)


def _names(parent: Dataset) -> Iterator[str]:
    return (_name(item) for item in parent.get("ContentSequence") or ())


def _name(item: Dataset) -> str:
    for code in item.get("ConceptNameCodeSequence") or ():
        return _value(code)
    return ""


def _value(code: Dataset) -> str:
    parts = ("CodeValue", "LongCodeValue", "URNCodeValue")
    return next((text for one in parts if (text := text_of(code, one))), "")
