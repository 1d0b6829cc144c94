"""The last step to a result: its UID from its content, then its dates, then a check."""

from __future__ import annotations

import struct
from functools import partial
from typing import cast

from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from dicomnode.ports import Buffer
from dicomnode.results.charset import settle, state, text_of
from dicomnode.results.conformance import check
from dicomnode.results.context import BuiltResult, ReportContext, Unsealed
from dicomnode.results.encoding import as_read, encode_elements
from dicomnode.results.header import stamp
from dicomnode.results.times import moment
from dicomnode.results.uids import sop_instance_uid
from dicomnode.results.wording import ENGLISH

_PIXELS, _STAMPED = Tag("PixelData"), Tag("ContributingEquipmentSequence")
_HEADER = struct.Struct("<HH2sHI")


class Unwritable(Exception):
    """The study's character set cannot take the language of the report."""


def seal(context: ReportContext, kind: str, made: Unsealed) -> BuiltResult:
    """Finish an object.

    Equal input gives equal bytes, and any difference but in the dates another UID.
    Raises ResultError, and Unwritable when our words could not be written.
    """
    dataset = made.dataset
    pixels = _encoded_pixels(made)
    if not settle(dataset) and context.words is not ENGLISH:
        raise Unwritable
    # To encode takes most of the time, so each element is encoded once, but for the
    # one that stamping changes.
    content = encode_elements(dataset, sorted(dataset.keys()))
    uid = sop_instance_uid(b"".join(content.values()), *pixels)
    state(dataset, SOPInstanceUID=uid)
    stamp(dataset, moment(context.analysed_at, context.sources[0]))
    late = {*dataset.keys()}.difference(content) | {_STAMPED}
    elements = content | encode_elements(dataset, late)
    encoded = b"".join(elements[tag] for tag in sorted(elements))
    return finished(kind, (encoded, *pixels), made)


def finished(kind: str, encoded: tuple[Buffer, ...], made: Unsealed) -> BuiltResult:
    """The checked result; ``encoded`` is its data set, the pixels apart."""
    dataset = as_read(bytes(encoded[0]))
    if made.pixels is not None:
        value, length = cast("bytes", made.pixels), sum(map(len, encoded[2:]))
        dataset[_PIXELS] = RawDataElement(_PIXELS, "OB", length, value, 0, False, True)
    check(dataset, kind, made.content)
    told = partial(text_of, dataset)
    return BuiltResult(
        kind=kind,
        sop_class_uid=told("SOPClassUID"),
        sop_instance_uid=told("SOPInstanceUID"),
        series_instance_uid=told("SeriesInstanceUID"),
        study_instance_uid=told("StudyInstanceUID"),
        encoded=encoded,
    )


def _encoded_pixels(made: Unsealed) -> tuple[Buffer, ...]:
    """The last element of an image, encoded: header, value and what makes it even.

    VR OB: 8 bits allocated, native (PS3.5 A.2).
    """
    if made.pixels is None:
        return ()
    padding = [b"\0"] * (len(made.pixels) % 2)
    length = len(made.pixels) + len(padding)
    head = _HEADER.pack(_PIXELS.group, _PIXELS.element, b"OB", 0, length)
    return head, made.pixels, *padding
