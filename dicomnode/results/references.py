"""The instances a result is about, and how it refers to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicomnode.errors import ResultError
from dicomnode.results.charset import (
    charset_of,
    copy_elements,
    copy_item,
    state,
    text_of,
)
from dicomnode.results.uids import is_valid_uid


@dataclass(frozen=True, slots=True)
class Reference:
    """What it takes to name an instance (PS3.3 C.17.2, evidence sequences)."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    frame_numbers: tuple[int, ...] = ()
    """Of a multi-frame object, from 1; none names the whole of it."""


def reference_to(source: Dataset, frame_numbers: Iterable[int] = ()) -> Reference:
    """The reference to a source, or to some of its frames (PS3.3 Table 10-3).

    Raises ResultError if it cannot be named.
    """
    return Reference(
        sop_class_uid=_uid(source, "SOPClassUID"),
        sop_instance_uid=_uid(source, "SOPInstanceUID"),
        series_instance_uid=_uid(source, "SeriesInstanceUID"),
        frame_numbers=tuple(sorted(set(frame_numbers))),
    )


def _uid(source: Dataset, keyword: str) -> str:
    value = text_of(source, keyword)
    if not is_valid_uid(value):
        message = (
            f"a source instance has no valid {keyword}, so no result can refer to it; "
            "correct it at the modality or the PACS and send the study again"
        )
        raise ResultError(message)
    return value


def is_image(source: Dataset) -> bool:
    """Whether an instance can be referred to by an IMAGE content item."""
    return "Rows" in source or "Image Storage" in UID(_uid(source, "SOPClassUID")).name


def evidence(study_instance_uid: str, references: Iterable[Reference]) -> list[Dataset]:
    """CurrentRequestedProcedureEvidenceSequence (PS3.3 C.17.2.3), by series."""
    series: dict[str, dict[str, Reference]] = {}
    for one in references:
        instances = series.setdefault(one.series_instance_uid, {})
        instances[one.sop_instance_uid] = one
    item = Dataset()
    state(item, StudyInstanceUID=study_instance_uid)
    item.ReferencedSeriesSequence = [
        _series_item(uid, list(instances.values())) for uid, instances in series.items()
    ]
    return [item]


def _series_item(uid: str, instances: Sequence[Reference]) -> Dataset:
    item = Dataset()
    state(item, SeriesInstanceUID=uid)
    item.ReferencedSOPSequence = [sop_item(one) for one in instances]
    return item


def sop_item(reference: Reference) -> Dataset:
    """An item of a SOP Instance Reference Macro (PS3.3 Table 10-11)."""
    item = Dataset()
    state(
        item,
        ReferencedSOPClassUID=reference.sop_class_uid,
        ReferencedSOPInstanceUID=reference.sop_instance_uid,
    )
    if reference.frame_numbers:
        item.ReferencedFrameNumber = list(reference.frame_numbers)
    return item


# ReferencedRequestSequence (PS3.3 Table C.17-2): Type 2 members, and Type 3 if present.
_REQUEST_TEXTS = (
    "AccessionNumber",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
    "RequestedProcedureID",
    "RequestedProcedureDescription",
)
_REQUEST_SEQUENCES = ("ReferencedStudySequence", "RequestedProcedureCodeSequence")
_REQUEST_OPTIONS = (
    "SpecificCharacterSet",
    "IssuerOfAccessionNumberSequence",
    "ReasonForTheRequestedProcedure",
    "ReasonForRequestedProcedureCodeSequence",
    "OrderPlacerIdentifierSequence",
    "OrderFillerIdentifierSequence",
)


def requests(sources: Iterable[Dataset], study_instance_uid: str) -> list[Dataset]:
    """ReferencedRequestSequence items from the sources' request attributes.

    One for each different order, so that RIS and PACS link the result to it.
    """
    found: dict[tuple[str, ...], Dataset] = {}
    for source in sources:
        if "RequestAttributesSequence" not in source:
            continue
        for attributes in source.RequestAttributesSequence:
            item = _request(source, attributes, study_instance_uid)
            key = tuple(text_of(item, keyword) for keyword in _REQUEST_TEXTS)
            found.setdefault(key, item)
    return list(found.values())


def _request(source: Dataset, attributes: Dataset, study_instance_uid: str) -> Dataset:
    item = Dataset()
    copied = copy_item(attributes, charset_of(source))
    # Sources may differ in character set; the caller drops what is the object's own.
    copy_elements(source, item, ("SpecificCharacterSet",))
    if not text_of(copied, "AccessionNumber"):
        copy_elements(source, item, ("AccessionNumber",))
        copied.pop("AccessionNumber", None)
    copy_elements(
        copied, item, (*_REQUEST_TEXTS, *_REQUEST_SEQUENCES, *_REQUEST_OPTIONS)
    )
    for keyword in _REQUEST_TEXTS:
        if keyword not in item:
            setattr(item, keyword, "")
    for keyword in _REQUEST_SEQUENCES:
        if keyword not in item:
            setattr(item, keyword, [])
    item.StudyInstanceUID = study_instance_uid
    return item
