"""What the worklist needs to know of a data set, read without touching its pixels."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from dicomnode.domain.instance import ROUTING_KEYWORDS, Attributes, Identity
from dicomnode.receiver import values
from dicomnode.receiver.elements import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    Syntax,
    TruncatedError,
    elements,
)

_SPECIFIC_CHARACTER_SET = 0x00080005
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_IDENTITY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "IssuerOfPatientID",
)
_MAX_VALUE_BYTES = 10_240
# The header of a deflated data set must lie within what this many bytes inflate to.
_MAX_INFLATED_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Header:
    """What was found; an absent or unreadable UID is empty."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    attributes: Attributes
    identity: Identity


def scan_start(
    start: memoryview, transfer_syntax_uid: str, extra_keywords: Sequence[str]
) -> Header | None:
    """What ``scan`` finds in the whole, from its first bytes; None: they do not do."""
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        return None
    try:
        return _scan(start, transfer_syntax_uid, extra_keywords, whole=False)
    except TruncatedError:
        return None


def scan(
    data: bytes | memoryview, transfer_syntax_uid: str, extra_keywords: Sequence[str]
) -> Header:
    """Read the header of an encoded data set; never raises for what is in it.

    ``extra_keywords`` are recorded beside ROUTING_KEYWORDS. A value that cannot be
    read is absent. In a private or unknown transfer syntax Explicit VR Little Endian
    is tried, then Implicit.
    """
    return _scan(data, transfer_syntax_uid, extra_keywords, whole=True)


def _scan(
    data: bytes | memoryview,
    transfer_syntax_uid: str,
    extra_keywords: Sequence[str],
    *,
    whole: bool,
) -> Header:
    wanted = _wanted(tuple(extra_keywords))
    found: dict[str, str | tuple[str, ...]] = {}
    for view, syntax in _readings(memoryview(data).cast("B"), transfer_syntax_uid):
        found = max(found, _read(view, syntax, wanted, whole=whole), key=len)
        if "StudyInstanceUID" in found and "SeriesInstanceUID" in found:
            break
    return _header(found, (*ROUTING_KEYWORDS, *extra_keywords))


@lru_cache(maxsize=8)
def _wanted(extra_keywords: tuple[str, ...]) -> Mapping[int, str]:
    keywords = (
        "SpecificCharacterSet",
        *(*ROUTING_KEYWORDS, *_UIDS, *_IDENTITY, *extra_keywords),
    )
    tags = {tag_for_keyword(keyword): keyword for keyword in keywords}
    return {int(tag): tags[tag] for tag in tags if tag is not None}


def _readings(
    data: memoryview, transfer_syntax_uid: str
) -> Iterator[tuple[memoryview, Syntax]]:
    """The ways to read ``data``, the declared one first (PS3.5 10 and Annex A)."""
    if transfer_syntax_uid == ImplicitVRLittleEndian:
        yield from ((data, IMPLICIT), (data, EXPLICIT))
    elif transfer_syntax_uid == ExplicitVRBigEndian:
        yield data, BIG_ENDIAN
    elif transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        yield _inflated(data), EXPLICIT
    else:
        yield from ((data, EXPLICIT), (data, IMPLICIT))


def _inflated(data: memoryview) -> memoryview:
    # PS3.5 A.5: a raw deflate bit stream (RFC 1951), without zlib header.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return memoryview(inflater.decompress(data, _MAX_INFLATED_BYTES))
    except zlib.error:
        return data[:0]


def _read(
    data: memoryview, syntax: Syntax, wanted: Mapping[int, str], *, whole: bool
) -> dict[str, str | tuple[str, ...]]:
    found: dict[str, str | tuple[str, ...]] = {}
    encodings = values.encodings("")
    order = syntax.order
    for tag, vr, value in elements(data, syntax, wanted, max(wanted), whole):
        if len(value) > _MAX_VALUE_BYTES:
            continue
        if tag == _SPECIFIC_CHARACTER_SET:
            encodings = values.encodings(bytes(value).decode("latin-1"))
            continue
        if text := values.text(_vr(tag, vr), bytes(value), order, encodings):
            found.setdefault(wanted[tag], text)
    return found


@lru_cache(maxsize=512)
def _vr(tag: int, vr: bytes) -> str:
    return dictionary_VR(tag) if vr in {b"", b"UN"} else vr.decode()


def _header(
    found: Mapping[str, str | tuple[str, ...]], keywords: Sequence[str]
) -> Header:
    def first(keyword: str) -> str:
        value = found.get(keyword, "")
        return value if isinstance(value, str) else value[0]

    return Header(
        sop_class_uid=first("SOPClassUID"),
        sop_instance_uid=first("SOPInstanceUID"),
        study_instance_uid=first("StudyInstanceUID"),
        series_instance_uid=first("SeriesInstanceUID"),
        attributes={key: found[key] for key in keywords if key in found},
        identity=Identity(
            patient_id=first("PatientID"),
            patient_name=first("PatientName"),
            patient_birth_date=first("PatientBirthDate"),
            patient_sex=first("PatientSex"),
            issuer_of_patient_id=first("IssuerOfPatientID"),
        ),
    )
