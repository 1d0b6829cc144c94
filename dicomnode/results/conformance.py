"""A last look at every object before it leaves: PS3.3 types and template essentials.

Independent validators say more, but they are not there at run time. What fails here
is a defect or a hopeless source, and is never sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from dicomnode.errors import ResultError
from dicomnode.results.charset import text_of
from dicomnode.results.header import RESEARCH_USE_ONLY
from dicomnode.results.uids import is_valid_uid

_TYPE_1 = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "InstanceNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "InstanceCreatorUID",
    "ContributingEquipmentSequence",
    "ContentDate",
    "ContentTime",
)
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
_SR_TYPE_1 = (
    "CompletionFlag",
    "VerificationFlag",
    "PreliminaryFlag",
    "CurrentRequestedProcedureEvidenceSequence",
    "ValueType",
    "ConceptNameCodeSequence",
    "ContinuityOfContent",
    "ContentTemplateSequence",
    "ContentSequence",
)
_SR_TYPE_2 = (
    "ReferencedPerformedProcedureStepSequence",
    "PerformedProcedureCodeSequence",
)
_SC_TYPE_1 = (
    "ConversionType",
    "ImageType",
    "BurnedInAnnotation",
    "SourceImageSequence",
    "ImageComments",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
)
_SC_TYPE_2 = ("PatientOrientation",)
_REQUIRED = {  # kind -> Type 1, Type 2
    "sr": ((*_TYPE_1, *_SR_TYPE_1), (*_TYPE_2, *_SR_TYPE_2)),
    "sr-text": ((*_TYPE_1, *_SR_TYPE_1), (*_TYPE_2, *_SR_TYPE_2)),
    "sc": ((*_TYPE_1, *_SC_TYPE_1), (*_TYPE_2, *_SC_TYPE_2)),
}
_UIDS = (
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceCreatorUID",
)
_TEMPLATES = {"sr": ("126000", "1500"), "sr-text": ("18748-4", "2000")}
_FULL_CONTAINERS = frozenset({"126010", "126011", "C0034375"})
_VALUES = {
    "CODE": "ConceptCodeSequence",
    "TEXT": "TextValue",
    "UIDREF": "UID",
    "NUM": "MeasuredValueSequence",
    "IMAGE": "ReferencedSOPSequence",
    "CONTAINER": "ContinuityOfContent",
}


def check(dataset: Dataset, kind: str) -> None:
    """Raise ResultError with every defect found in a finished object."""
    defects = [*_missing(dataset, kind), *_bad_uids(dataset), *_unmarked(dataset)]
    if kind in _TEMPLATES:
        defects += [*_template_defects(dataset, kind), *_item_defects(dataset)]
        defects += _unproven(dataset)
    if defects:
        message = (
            f"the {kind} result is not conformant: {'; '.join(defects)}. Correct the "
            "bundle's codes or the study's header, then `dicomnode retry` the job"
        )
        raise ResultError(message)


def _missing(dataset: Dataset, kind: str) -> Iterator[str]:
    type_1, type_2 = _REQUIRED[kind]
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


def _template_defects(dataset: Dataset, kind: str) -> Iterator[str]:
    title, template = _TEMPLATES[kind]
    if _name(dataset) != title:
        yield f"the title is not {title}"
    named = [one.TemplateIdentifier for one in dataset.ContentTemplateSequence]
    if named != [template]:
        yield f"the root does not name template {template}"
    children = {_name(item) for item in dataset.ContentSequence}
    if kind == "sr" and not children & _FULL_CONTAINERS:
        yield "TID 1500 has none of its three containers"


def _item_defects(dataset: Dataset) -> Iterator[str]:
    for item in _items(dataset):
        value = _VALUES.get(text_of(item, "ValueType"), "")
        if not _name(item):
            yield "a content item has no concept name"
        elif not value or value not in item or item[value].is_empty:
            yield f"content item {_name(item)} has no value"
        for code in (*_codes(item, "ConceptNameCodeSequence"), *_codes(item, value)):
            yield from _code_defects(code)
        if value == "UID" and not is_valid_uid(text_of(item, "UID")):
            yield f"content item {_name(item)} is not a valid UID"


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


def _items(parent: Dataset) -> Iterator[Dataset]:
    for item in parent.get("ContentSequence") or ():
        yield item
        yield from _items(item)


def _name(item: Dataset) -> str:
    for code in item.get("ConceptNameCodeSequence") or ():
        return _value(code)
    return ""


def _value(code: Dataset) -> str:
    parts = ("CodeValue", "LongCodeValue", "URNCodeValue")
    return next((text for one in parts if (text := text_of(code, one))), "")
