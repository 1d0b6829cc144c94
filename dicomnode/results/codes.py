"""Coded concepts of the reports; meanings as in PS3.16 Annex D unless said."""

from __future__ import annotations

from functools import cache

from pydicom.sr.codedict import codes

from dicomnode.domain.findings import Code, Presence

PRIVATE_SCHEME = "99DCMNODE"
"""Designator of our own codes (PS3.16 section 8: private designators begin with 99)."""
PRIVATE_SCHEME_NAME = "dicomnode private codes"


def _dcm(value: str, meaning: str) -> Code:
    return Code(value, "DCM", meaning)


def _sct(value: str, meaning: str) -> Code:
    return Code(value, "SCT", meaning)


# TID 1500 Measurement Report: root and containers
IMAGING_MEASUREMENT_REPORT = _dcm("126000", "Imaging Measurement Report")  # CID 7021
IMAGE_LIBRARY = _dcm("111028", "Image Library")
IMAGE_LIBRARY_GROUP = _dcm("126200", "Image Library Group")
IMAGING_MEASUREMENTS = _dcm("126010", "Imaging Measurements")
MEASUREMENT_GROUP = _dcm("125007", "Measurement Group")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")

# TID 1204 language, TID 1001 and 1004 observation context, procedure (CID 100)
LANGUAGE = _dcm("121049", "Language of Content Item and Descendants")
OBSERVER_TYPE = _dcm("121005", "Observer Type")
DEVICE = _dcm("121007", "Device")
DEVICE_OBSERVER_UID = _dcm("121012", "Device Observer UID")
DEVICE_OBSERVER_NAME = _dcm("121013", "Device Observer Name")
DEVICE_OBSERVER_MANUFACTURER = _dcm("121014", "Device Observer Manufacturer")
DEVICE_OBSERVER_MODEL_NAME = _dcm("121015", "Device Observer Model Name")
PROCEDURE_REPORTED = _dcm("121058", "Procedure reported")
IMAGING_PROCEDURE = _sct("363679005", "Imaging procedure")

# TID 1602 and 1603 image library entry
SOURCE = _sct("260753009", "Source")
MODALITY = _dcm("121139", "Modality")
PIXEL_DATA_ROWS = _dcm("110910", "Pixel Data Rows")
PIXEL_DATA_COLUMNS = _dcm("110911", "Pixel Data Columns")
IMAGE_VIEW = _dcm("111031", "Image View")
ORIENTATION_ROW = _dcm("111044", "Patient Orientation Row")
ORIENTATION_COLUMN = _dcm("111043", "Patient Orientation Column")
HORIZONTAL_SPACING = _dcm("111026", "Horizontal Pixel Spacing")
VERTICAL_SPACING = _dcm("111066", "Vertical Pixel Spacing")

# TID 4019 algorithm identification
ALGORITHM_NAME = _dcm("111001", "Algorithm Name")
ALGORITHM_VERSION = _dcm("111003", "Algorithm Version")
ALGORITHM_PARAMETERS = _dcm("111002", "Algorithm Parameters")
ALGORITHM_FAMILY = _dcm("111000", "Algorithm Family")
ARTIFICIAL_INTELLIGENCE = _dcm("123110", "Artificial Intelligence")  # CID 7162

# TID 1501 measurement group
TRACKING_IDENTIFIER = _dcm("112039", "Tracking Identifier")
TRACKING_UNIQUE_IDENTIFIER = _dcm("112040", "Tracking Unique Identifier")
FINDING = _dcm("121071", "Finding")
FINDING_SITE = _sct("363698007", "Finding Site")
CERTAINTY_OF_FINDING = _dcm("111012", "Certainty of Finding")
PROBABILITY = _dcm("122157", "Probability")
SOURCE_OF_MEASUREMENT = _dcm("121112", "Source of Measurement")

# TID 1410 planar region of interest
IMAGE_REGION = _dcm("111030", "Image Region")
ORIGINAL_SOURCE = _dcm("111040", "Original Source")

# Qualitative evaluations
CONCLUSION = _dcm("121077", "Conclusion")
COMMENT = _dcm("121106", "Comment")
PROCESSING_SUMMARY = _dcm("111017", "CAD Processing and Findings Summary")
ALL_SUCCEEDED_WITHOUT = _dcm(
    "111241", "All algorithms succeeded; without findings"
)  # CID 6047
ALL_SUCCEEDED_WITH = _dcm("111242", "All algorithms succeeded; with findings")
NOT_ALL_SUCCEEDED_WITHOUT = _dcm(
    "111243", "Not all algorithms succeeded; without findings"
)
NOT_ALL_SUCCEEDED_WITH = _dcm("111244", "Not all algorithms succeeded; with findings")
NONE_SUCCEEDED = _dcm("111245", "No algorithms succeeded; without findings")

PRESENT = _sct("52101004", "Present")
PRESENCE = {  # CID 240
    Presence.PRESENT: PRESENT,
    Presence.ABSENT: _sct("272519000", "Absent"),
    Presence.UNDETERMINED: _sct("373068000", "Undetermined"),
}

# TID 2000 basic diagnostic imaging report (CID 7000 and 7001)
DIAGNOSTIC_IMAGING_REPORT = Code("18748-4", "LN", "Diagnostic Imaging Report")
CONCLUSIONS = Code("55110-1", "LN", "Conclusions")
FINDINGS = Code("59776-5", "LN", "Findings")

# Purposes of reference
PROCESSING_EQUIPMENT = _dcm("109102", "Processing Equipment")  # CID 7005
SOURCE_IMAGE = _dcm(  # CID 7202
    "121322", "Source image for image processing operation"
)

REPLACED_REPORT = _dcm("121360", "Replaced report")  # CID 7009

# Units
PERCENT = Code("%", "UCUM", "Percent")
PIXELS = Code("{pixels}", "UCUM", "Pixels")
MILLIMETER = Code("mm", "UCUM", "millimeter")

LANGUAGES = {  # CID 5000
    "en": Code("en", "RFC5646", "English"),
    "en-US": Code("en-US", "RFC5646", "English, United States"),
    "en-GB": Code("en-GB", "RFC5646", "English, United Kingdom"),
    "de": Code("de", "RFC5646", "German"),
    "fr": Code("fr", "RFC5646", "French"),
    "es": Code("es", "RFC5646", "Spanish"),
    "zh": Code("zh", "RFC5646", "Chinese"),
    "ja": Code("ja", "RFC5646", "Japanese"),
}

VIEWS = {  # ViewPosition (0018,5101) -> CID 4010
    "AP": _sct("399348003", "antero-posterior"),
    "PA": _sct("272479007", "postero-anterior"),
    "LL": _sct("399173006", "left lateral"),
    "RL": _sct("399198007", "right lateral"),
    "LATERAL": _sct("399067008", "lateral"),
    "FRONTAL": _sct("399033003", "frontal"),
}


@cache
def modality(value: str) -> Code | None:
    """The code of a Modality (0008,0060) value in CID 29, None if it has none."""
    group = codes.cid29
    for keyword in group.dir():
        code = getattr(group, keyword)
        if code.value == value:
            return Code(code.value, code.scheme_designator, code.meaning)
    return None
