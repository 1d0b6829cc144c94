"""A last look at every object before it leaves: PS3.3 types and template rows.

Independent validators say more, but they are not there at run time. What fails here
is a defect or a hopeless source, and is never sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from dicomnode.errors import ResultError
from dicomnode.results import codes
from dicomnode.results.charset import has_value, text_of
from dicomnode.results.content import Content
from dicomnode.results.header import RESEARCH_USE_ONLY
from dicomnode.results.item_facts import ItemFacts, facts_of
from dicomnode.results.requirements import (
    MOST_CHARACTERS,
    REQUIRED,
    TEMPLATES,
    TITLES,
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


def check(dataset: Dataset, kind: str, content: Content | None = None) -> None:
    """Raise ResultError with every defect found in a finished object.

    content: its content tree, where the bytes of that are in ``dataset`` as they are:
    what is known of its items need not be read again.
    """
    defects = [*_missing(dataset, kind), *_bad_uids(dataset), *_unmarked(dataset)]
    defects += _too_long(dataset, _OURS)
    if kind in TITLES and not defects:
        root = _read(dataset) if content is None else _known(content)
        defects += _document_defects(dataset, kind, root)
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


def _document_defects(dataset: Dataset, kind: str, root: _Item) -> Iterator[str]:
    items = list(_below(root))
    yield from _template_defects(dataset, root, kind)
    for parent in (root, *items):
        yield from _row_defects(parent, TEMPLATES.get(parent.name, ()))
    yield from _item_defects(items)
    yield from _unproven(dataset, items)
    yield from _unsaid(items)
    yield from _bad_predecessors(dataset)


def _missing(dataset: Dataset, kind: str) -> Iterator[str]:
    type_1, type_2 = REQUIRED[kind]
    for keyword in type_1:
        if not has_value(dataset, keyword):
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
        most = MOST_CHARACTERS.get(str(dataset.get_item(keyword).VR))
        if most is not None and len(text_of(dataset, keyword)) > most:
            yield f"{keyword} has more than {most} characters"


def _template_defects(dataset: Dataset, root: _Item, kind: str) -> Iterator[str]:
    title, template = TITLES[kind]
    if root.name != title:
        yield f"the title is not {title}"
    named = [one.TemplateIdentifier for one in dataset.ContentTemplateSequence]
    if named != [template]:
        yield f"the root does not name template {template}"


def _row_defects(parent: _Item, rows: tuple[Row, ...]) -> Iterator[str]:
    place, counts = 0, dict.fromkeys(rows, 0)
    for item in parent.children if rows else ():
        number = _row_of(item, rows)
        if number is None:
            yield f"{item.name} has no place in {parent.name}"
            continue
        if number < place:
            yield f"{item.name} is out of order in {parent.name}"
        place = max(place, number)
        counts[rows[number]] += 1
    for row, count in counts.items():
        if not row.least <= count <= row.most:
            yield f"{parent.name} has {count} times {row.name}"


def _row_of(item: _Item, rows: tuple[Row, ...]) -> int | None:
    shape = item.facts.value_type, item.facts.relationship
    fitting = [
        number
        for number, row in enumerate(rows)
        if (row.value_type, row.relationship) == shape and row.name in (item.name, "*")
    ]
    exact = [number for number in fitting if rows[number].name != "*"]
    return next(iter((*exact, *fitting)), None)


def _item_defects(items: Sequence[_Item]) -> Iterator[str]:
    for item in items:
        yield from item.facts.defects
        anchors = _ANCHORS.intersection(one.name for one in item.children)
        if item.name == _GROUP and len(anchors) != 1:
            yield "a measurement group has not one image or one region"


def _unproven(dataset: Dataset, items: Sequence[_Item]) -> Iterator[str]:
    known = {
        text_of(instance, "ReferencedSOPInstanceUID")
        for study in dataset.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    }
    for item in items:
        for uid in item.facts.references:
            if uid not in known:
                yield f"instance {uid} is referred to but not in the evidence"


def _unsaid(items: Sequence[_Item]) -> Iterator[str]:
    # A viewer prints "Finding: X" for a group, so X must be said to be present.
    present = {
        item.name
        for parent in items
        if parent.name == _EVALUATIONS
        for item in parent.children
        if codes.PRESENT.value in item.facts.answers
    }
    for group in items:
        for item in group.children if group.name == _GROUP else ():
            if item.name == _FINDING and not present.issuperset(item.facts.answers):
                yield (
                    f"a group has the finding {[*item.facts.answers]} that is not"
                    " stated as present"
                )


def _bad_predecessors(dataset: Dataset) -> Iterator[str]:
    for study in dataset.get("PredecessorDocumentsSequence") or ():
        for series in study.ReferencedSeriesSequence:
            for instance in series.ReferencedSOPSequence:
                uid = text_of(instance, "ReferencedSOPInstanceUID")
                if not is_valid_uid(uid) or uid == text_of(dataset, "SOPInstanceUID"):
                    yield "a predecessor is no other document"


def _pixel_defects(dataset: Dataset) -> Iterator[str]:
    expected = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel
    pixels: DataElement | RawDataElement = dataset.get_item("PixelData")
    length = pixels.length if isinstance(pixels, RawDataElement) else len(pixels.value)
    if length != expected + expected % 2:
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


@dataclass(frozen=True, slots=True)
class _Item:
    """A content item, what every check asks of it looked up once."""

    facts: ItemFacts
    children: tuple[_Item, ...]

    @property
    def name(self) -> str:
        """The code of its concept."""
        return self.facts.name


def _read(dataset: Dataset) -> _Item:
    content = dataset.get("ContentSequence") or ()
    return _Item(facts_of(dataset), tuple(map(_read, content)))


def _known(content: Content) -> _Item:
    return _Item(content.part.facts, tuple(map(_known, content.children)))


def _below(parent: _Item) -> Iterator[_Item]:
    for child in parent.children:
        yield child
        yield from _below(child)
