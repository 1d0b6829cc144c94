"""Content items and codes, made with highdicom from the words of the domain.

Those that come again in the next report are kept, see `results.content`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence as Several
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
from highdicom.sr import (
    CodeContentItem,
    CodedConcept,
    ContainerContentItem,
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
from dicomnode.results.content import Content, Part, contained, part_of
from dicomnode.results.encoding import encode_elements
from dicomnode.results.references import Reference, sop_item

CONTAINS = RelationshipTypeValues.CONTAINS
HAS_CONCEPT_MOD = RelationshipTypeValues.HAS_CONCEPT_MOD
HAS_OBS_CONTEXT = RelationshipTypeValues.HAS_OBS_CONTEXT
HAS_ACQ_CONTEXT = RelationshipTypeValues.HAS_ACQ_CONTEXT

_LO = 64
_KEPT = 1024
"""Items of each kind that are kept: far more than one bundle has to say."""
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
    children: Several[Content],
    relationship: RelationshipTypeValues | None = CONTAINS,
    template: str | None = None,
) -> Content:
    """A CONTAINER; SEPARATE, or viewers run all its items together."""
    return contained(_container(name, relationship, template), children)


def code_item(
    name: Code, value: Code, relationship: RelationshipTypeValues = CONTAINS
) -> Content:
    """A CODE."""
    return Content(_code(name, value, relationship))


def text_item(
    name: Code, value: str, relationship: RelationshipTypeValues = CONTAINS
) -> Content:
    """A TEXT."""
    return Content(_text(name, value, relationship))


def uid_item(
    name: Code, value: str, relationship: RelationshipTypeValues = HAS_OBS_CONTEXT
) -> Content:
    """A UIDREF."""
    return Content(_uid(name, value, relationship))


def number_item(
    name: Code,
    value: float,
    unit: Code,
    relationship: RelationshipTypeValues = CONTAINS,
) -> Content:
    """A NUM with its unit."""
    return Content(_number(name, value, unit, relationship))


def image_item(
    name: Code, reference: Reference, acquisition: Several[Content] = ()
) -> Content:
    """An IMAGE; always named, because OHIF crashes on one without a name."""
    return contained(_image_part(name, reference), acquisition)


def region_item(name: Code, region: Region, reference: Reference) -> Content:
    """A closed SCOORD on its image; the last point repeats the first (C.18.6.1.2)."""
    points = np.asarray([*region.points, region.points[0]], dtype=np.float64)
    item = ScoordContentItem(
        concept(name), GraphicTypeValues.POLYLINE, points, relationship_type=CONTAINS
    )
    whole = replace(reference, frame_numbers=())
    source = _image(codes.ORIGINAL_SOURCE, whole, RelationshipTypeValues.SELECTED_FROM)
    return contained(part_of(item), [Content(part_of(source))])


def copied_code_item(name: Code, copied: Dataset) -> Content:
    """A CODE whose value is a code sequence item of the source, as it is."""
    item = CodeContentItem(concept(name), concept(Code("0", "0", "0")), HAS_CONCEPT_MOD)
    item.ConceptCodeSequence = Sequence([copied])  # type: ignore[assignment]  # bytes as they are
    return Content(part_of(item))


@lru_cache(_KEPT)
def _container(
    name: Code, relationship: RelationshipTypeValues | None, template: str | None
) -> Part:
    item = ContainerContentItem(
        concept(name),
        is_content_continuous=False,
        template_id=template,
        relationship_type=relationship,
    )
    return part_of(item)


@lru_cache(_KEPT)
def _code(name: Code, value: Code, relationship: RelationshipTypeValues) -> Part:
    return part_of(CodeContentItem(concept(name), concept(value), relationship))


@lru_cache(_KEPT)
def _text(name: Code, value: str, relationship: RelationshipTypeValues) -> Part:
    return part_of(TextContentItem(concept(name), paragraph(value), relationship))


@lru_cache(_KEPT)
def _uid(name: Code, value: str, relationship: RelationshipTypeValues) -> Part:
    return part_of(UIDRefContentItem(concept(name), value, relationship))


@lru_cache(_KEPT, typed=True)
def _number(
    name: Code, value: float, unit: Code, relationship: RelationshipTypeValues
) -> Part:
    item = NumContentItem(
        concept(name), value, concept(unit), relationship_type=relationship
    )
    if isinstance(value, int):
        # highdicom would write a count as 512.0.
        item.MeasuredValueSequence[0].NumericValue = str(value)
    return part_of(item)


def _image_part(name: Code, reference: Reference) -> Part:
    """As any IMAGE of the name, but for the reference: the first of its elements."""
    known = _any_image(name)
    make = partial(_image, name, reference, CONTAINS)
    if not known.is_plain:
        return part_of(make())
    holder = Dataset()
    holder.ReferencedSOPSequence = [sop_item(reference)]
    [named] = encode_elements(holder, holder.keys()).values()
    facts = replace(known.facts, references=(reference.sop_instance_uid,))
    return replace(known, make=make, before=named + known.before, facts=facts)


@lru_cache(_KEPT)
def _any_image(name: Code) -> Part:
    """One that names no instance, and is not found to lack it."""
    whole = part_of(_image(name, Reference("1.2", "1.2", "1.2"), CONTAINS))
    item = whole.make()
    del item.ReferencedSOPSequence
    return replace(part_of(item), facts=whole.facts)


def _image(
    name: Code, reference: Reference, relationship: RelationshipTypeValues
) -> ImageContentItem:
    return ImageContentItem(
        concept(name),
        reference.sop_class_uid,
        reference.sop_instance_uid,
        referenced_frame_numbers=list(reference.frame_numbers) or None,
        relationship_type=relationship,
    )
