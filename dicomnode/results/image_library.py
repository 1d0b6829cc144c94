"""The Image Library of a report (TID 1600): which images were looked at."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicomnode.domain.findings import Code
from dicomnode.results import codes
from dicomnode.results.charset import text_of
from dicomnode.results.content import Content
from dicomnode.results.items import (
    HAS_ACQ_CONTEXT,
    code_item,
    container,
    image_item,
    number_item,
    text_item,
)
from dicomnode.results.references import is_image, reference_to

_PAIR = 2


def image_library(sources: Sequence[Dataset]) -> list[Content]:
    """The library container, or nothing when no source is an image."""
    entries: list[Content] = [
        image_item(codes.SOURCE, reference_to(source), _acquisition(source))
        for source in sources
        if is_image(source)
    ]
    if not entries:
        return []
    group = container(codes.IMAGE_LIBRARY_GROUP, entries)
    return [container(codes.IMAGE_LIBRARY, [group])]


def _acquisition(source: Dataset) -> list[Content]:
    # TID 1602 and 1603: each only if the source says it.
    return [*_modality(source), *_size(source), *_view(source), *_spacing(source)]


def _modality(source: Dataset) -> list[Content]:
    code = codes.modality(text_of(source, "Modality"))
    return [] if code is None else [code_item(codes.MODALITY, code, HAS_ACQ_CONTEXT)]


def _size(source: Dataset) -> list[Content]:
    return [
        number_item(name, int(source[keyword].value), codes.PIXELS, HAS_ACQ_CONTEXT)
        for name, keyword in (
            (codes.PIXEL_DATA_ROWS, "Rows"),
            (codes.PIXEL_DATA_COLUMNS, "Columns"),
        )
        if source.get(keyword)
    ]


def _view(source: Dataset) -> list[Content]:
    view = codes.VIEWS.get(text_of(source, "ViewPosition").upper()) or _view_code(
        source
    )
    items: list[Content] = []
    if view is not None:
        items.append(code_item(codes.IMAGE_VIEW, view, HAS_ACQ_CONTEXT))
    orientation = text_of(source, "PatientOrientation").split("\\")
    if len(orientation) == _PAIR and all(orientation):
        for name, value in zip(
            (codes.ORIENTATION_ROW, codes.ORIENTATION_COLUMN), orientation, strict=True
        ):
            items.append(text_item(name, value.strip(), HAS_ACQ_CONTEXT))
    return items


def _view_code(source: Dataset) -> Code | None:
    known = {code.value: code for code in codes.VIEWS.values()}
    for item in source.get("ViewCodeSequence") or ():
        return known.get(text_of(item, "CodeValue"))
    return None


def _spacing(source: Dataset) -> list[Content]:
    # Vertical first (PS3.3 10.7.1.3); at the detector for projection radiography.
    for keyword in ("ImagerPixelSpacing", "PixelSpacing"):
        spacing = _numbers(text_of(source, keyword))
        if len(spacing) == _PAIR:
            vertical, horizontal = spacing
            return [
                number_item(name, value, codes.MILLIMETER, HAS_ACQ_CONTEXT)
                for name, value in (
                    (codes.HORIZONTAL_SPACING, horizontal),
                    (codes.VERTICAL_SPACING, vertical),
                )
            ]
    return []


def _numbers(text: str) -> list[float]:
    try:
        return [float(one) for one in text.split("\\")] if text else []
    except ValueError:
        return []
