"""Content items and codes, made with highdicom from the words of the domain."""

from __future__ import annotations

import unicodedata

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
    ContentItem,
    ContentSequence,
    GraphicTypeValues,
    ImageContentItem,
    NumContentItem,
    RelationshipTypeValues,
    ScoordContentItem,
    TextContentItem,
    UIDRefContentItem,
)
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicomnode.domain.findings import Code, Region
from dicomnode.results import codes
from dicomnode.results.references import Reference

CONTAINS = RelationshipTypeValues.CONTAINS
HAS_CONCEPT_MOD = RelationshipTypeValues.HAS_CONCEPT_MOD
HAS_OBS_CONTEXT = RelationshipTypeValues.HAS_OBS_CONTEXT
HAS_ACQ_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT

_LO = 64
_LINE_ENDS = "\r\n\t\f"


def clip(text: str, length: int) -> str:
    """``text`` fit for a one-line element of ``length`` characters.

    Control characters and backslashes would change how it reads (PS3.5 Table 6.2-1).
    """
    plain = "".join(" " if _is_control(one) else one for one in text)
    return plain.replace("\\", "/").strip()[:length].rstrip()


def paragraph(text: str) -> str:
    """``text`` fit for a UT element: control characters out, lines end in CR LF."""
    kept = "".join(one for one in text if one in _LINE_ENDS or not _is_control(one))
    return "\r\n".join(line.rstrip() for line in kept.splitlines()).strip()


def _is_control(character: str) -> bool:
    return unicodedata.category(character) == "Cc"


def concept(code: Code) -> CodedConcept:
    """A code sequence item; the meaning falls back to the value."""
    return CodedConcept(
        clip(code.value, _LO),
        clip(code.scheme, 16),
        clip(code.meaning or code.value, _LO),
    )


def code_sequence(code: Code) -> list[CodedConcept]:
    """A code sequence with its one item."""
    return [concept(code)]


def container(
    name: Code,
    children: list[ContentItem],
    relationship: RelationshipTypeValues | None = CONTAINS,
    template: str | None = None,
) -> ContainerContentItem:
    """A CONTAINER; SEPARATE, or viewers run all its items together."""
    item = ContainerContentItem(
        concept(name),
        is_content_continuous=False,
        template_id=template,
        relationship_type=relationship,
    )
    item.ContentSequence = ContentSequence(children)
    return item


def code_item(
    name: Code, value: Code, relationship: RelationshipTypeValues = CONTAINS
) -> CodeContentItem:
    """A CODE."""
    return CodeContentItem(concept(name), concept(value), relationship)


def text_item(
    name: Code, value: str, relationship: RelationshipTypeValues = CONTAINS
) -> TextContentItem:
    """A TEXT."""
    return TextContentItem(concept(name), paragraph(value), relationship)


def uid_item(
    name: Code, value: str, relationship: RelationshipTypeValues = HAS_OBS_CONTEXT
) -> UIDRefContentItem:
    """A UIDREF."""
    return UIDRefContentItem(concept(name), value, relationship)


def number_item(
    name: Code,
    value: float,
    unit: Code,
    relationship: RelationshipTypeValues = CONTAINS,
) -> NumContentItem:
    """A NUM with its unit."""
    item = NumContentItem(
        concept(name), value, concept(unit), relationship_type=relationship
    )
    if isinstance(value, int):
        # highdicom would write a count as 512.0.
        item.MeasuredValueSequence[0].NumericValue = str(value)
    return item


def image_item(
    name: Code, reference: Reference, acquisition: list[ContentItem] | None = None
) -> ImageContentItem:
    """An IMAGE; always named, because OHIF crashes on one without a name."""
    item = ImageContentItem(
        concept(name),
        reference.sop_class_uid,
        reference.sop_instance_uid,
        referenced_frame_numbers=list(reference.frame_numbers) or None,
        relationship_type=CONTAINS,
    )
    if acquisition:
        item.ContentSequence = ContentSequence(acquisition)
    return item


def region_item(name: Code, region: Region, reference: Reference) -> ScoordContentItem:
    """A closed SCOORD on its image; the last point repeats the first (C.18.6.1.2)."""
    points = np.asarray([*region.points, region.points[0]], dtype=np.float64)
    item = ScoordContentItem(
        concept(name), GraphicTypeValues.POLYLINE, points, relationship_type=CONTAINS
    )
    source = ImageContentItem(
        concept(codes.ORIGINAL_SOURCE),
        reference.sop_class_uid,
        reference.sop_instance_uid,
        relationship_type=RelationshipTypeValues.SELECTED_FROM,
    )
    item.ContentSequence = ContentSequence([source])
    return item


def copied_code_item(name: Code, copied: Dataset) -> CodeContentItem:
    """A CODE whose value is a code sequence item of the source, as it is."""
    item = code_item(name, Code("0", "0", "0"), HAS_CONCEPT_MOD)
    item.ConceptCodeSequence = Sequence([copied])  # type: ignore[assignment]  # bytes as they are
    return item
