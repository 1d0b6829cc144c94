"""What each kind of result must hold: attributes by IOD, content items by template.

PS3.3 A.35 (SR documents), A.8.1 (Secondary Capture), A.33.1 (presentation states);
PS3.16 TID 1500, 1501, 1410, 1600 and 2000 in the form in which we write them.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    "InstanceCreationDate",
    "InstanceCreationTime",
    "ContributingEquipmentSequence",
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
_CONTENT_DATE = ("ContentDate", "ContentTime")
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
    "DerivationDescription",
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
_GSPS_TYPE_1 = (
    "ContentLabel",
    "PresentationCreationDate",
    "PresentationCreationTime",
    "ReferencedSeriesSequence",
    "DisplayedAreaSelectionSequence",
    "GraphicAnnotationSequence",
    "GraphicLayerSequence",
    "PresentationLUTShape",
)
_SR = (
    (*_TYPE_1, *_CONTENT_DATE, *_SR_TYPE_1),
    (*_TYPE_2, *_SR_TYPE_2),
)
REQUIRED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "sr": _SR,
    "sr-text": _SR,
    "sc": ((*_TYPE_1, *_CONTENT_DATE, *_SC_TYPE_1), (*_TYPE_2, "PatientOrientation")),
    "gsps": (
        (*_TYPE_1, *_GSPS_TYPE_1),
        (*_TYPE_2, "ContentDescription", "ContentCreatorName"),
    ),
}
"""Kind of result -> attributes of Type 1 (with a value) and of Type 2 (present)."""

_BODY_PART = ("BodyPartExamined", "Laterality")
_MAYBE = ("StationName", "TimezoneOffsetFromUTC", "CodingSchemeIdentificationSequence")
_SR_MAYBE = (
    *_MAYBE,
    "CompletionFlagDescription",
    "PredecessorDocumentsSequence",
    "ReferencedRequestSequence",
)
OPTIONAL: dict[str, tuple[str, ...]] = {
    "sr": _SR_MAYBE,
    "sr-text": _SR_MAYBE,
    "sc": (
        *_MAYBE,
        *_BODY_PART,
        "DateOfSecondaryCapture",
        "TimeOfSecondaryCapture",
        "LossyImageCompression",
        "LossyImageCompressionRatio",
        "LossyImageCompressionMethod",
    ),
    "gsps": (
        *_MAYBE,
        *_BODY_PART,
        "ModalityLUTSequence",
        "RescaleIntercept",
        "RescaleSlope",
        "RescaleType",
        "SoftcopyVOILUTSequence",
    ),
}
"""Kind of result -> attributes of Type 3, 1C or 2C that it may have besides."""

VALUES = {
    "CODE": "ConceptCodeSequence",
    "TEXT": "TextValue",
    "UIDREF": "UID",
    "NUM": "MeasuredValueSequence",
    "IMAGE": "ReferencedSOPSequence",
    "SCOORD": "GraphicData",
    "CONTAINER": "ContinuityOfContent",
}
"""Value type of a content item -> the attribute with its value (PS3.3 C.17.3)."""

MOST_CHARACTERS = {"SH": 16, "LO": 64, "CS": 16, "UI": 64, "DS": 16, "IS": 12}
"""PS3.5 Table 6.2-1, for what we write ourselves."""

CONTAINS, CONCEPT_MOD, OBS_CONTEXT = "CONTAINS", "HAS CONCEPT MOD", "HAS OBS CONTEXT"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a template: how often an item may be there; "*" is any concept."""

    name: str
    value_type: str
    relationship: str = CONTAINS
    least: int = 0
    most: int = 1


_MANY = 1_000_000
_OBSERVER = (
    Row("121049", "CODE", CONCEPT_MOD, 1),
    Row("121005", "CODE", OBS_CONTEXT, 1),
    Row("121012", "UIDREF", OBS_CONTEXT, 1),
    Row("121013", "TEXT", OBS_CONTEXT, 1),
    Row("121014", "TEXT", OBS_CONTEXT, 1),
    Row("121015", "TEXT", OBS_CONTEXT, 1),
)
_ALGORITHM = (
    Row("111001", "TEXT", CONCEPT_MOD, 1),
    Row("111003", "TEXT", CONCEPT_MOD, 1),
)
TITLES = {"sr": ("126000", "1500"), "sr-text": ("18748-4", "2000")}
"""Kind of document -> the concept of its root and the template it names."""

TEMPLATES: dict[str, tuple[Row, ...]] = {
    "126000": (
        *_OBSERVER,
        Row("121058", "CODE", CONCEPT_MOD, 1, _MANY),
        Row("111028", "CONTAINER"),
        Row("126010", "CONTAINER"),
        Row("C0034375", "CONTAINER", CONTAINS, 1),
    ),
    "111028": (Row("126200", "CONTAINER", CONTAINS, 1, _MANY),),
    "126200": (Row("260753009", "IMAGE", CONTAINS, 1, _MANY),),
    "126010": (
        *_ALGORITHM,
        Row("111002", "TEXT", CONCEPT_MOD, 1, _MANY),
        Row("111000", "CODE", CONCEPT_MOD, 1),
        Row("125007", "CONTAINER", CONTAINS, 1, _MANY),
    ),
    "125007": (
        Row("112039", "TEXT", OBS_CONTEXT, 1),
        Row("112040", "UIDREF", OBS_CONTEXT, 1),
        Row("121071", "CODE", CONTAINS, 1),
        Row("363698007", "CODE", CONCEPT_MOD),
        *_ALGORITHM,
        Row("111030", "SCOORD"),
        Row("111012", "NUM"),
        Row("122157", "NUM"),
        Row("121112", "IMAGE", CONTAINS, 0, _MANY),
    ),
    "C0034375": (
        Row("121077", "TEXT", CONTAINS, 1),
        Row("111017", "CODE", CONTAINS, 1),
        Row("*", "CODE", CONTAINS, 0, _MANY),
        Row("121106", "TEXT"),
    ),
    "18748-4": (
        *_OBSERVER,
        Row("55110-1", "CONTAINER", CONTAINS, 1),
        Row("59776-5", "CONTAINER", CONTAINS, 1),
    ),
    "55110-1": (Row("121077", "TEXT", CONTAINS, 1, _MANY),),
    "59776-5": (
        Row("121071", "TEXT", CONTAINS, 0, _MANY),
        Row("121106", "TEXT", CONTAINS, 1, _MANY),
        Row("121112", "IMAGE", CONTAINS, 0, _MANY),
    ),
}
"""Concept of a container -> its rows, in the order of the template."""
