"""An instance: what the receiver learns of it and what the worklist remembers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

AttributeValue = str | tuple[str, ...]
"""A DICOM attribute as text; a multi-valued one as a tuple of texts."""

Attributes = Mapping[str, AttributeValue]
"""Keyword -> value, for the keywords of ROUTING_KEYWORDS that are present."""

ROUTING_KEYWORDS = (
    "AccessionNumber",
    "AcquisitionNumber",
    "BodyPartExamined",
    "BurnedInAnnotation",
    "Columns",
    "ConversionType",
    "ImageType",
    "InstanceCreatorUID",
    "InstanceNumber",
    "InstitutionName",
    "Laterality",
    "Manufacturer",
    "ManufacturerModelName",
    "Modality",
    "NumberOfFrames",
    "PatientAge",
    "PatientOrientation",
    "PatientSex",
    "PhotometricInterpretation",
    "PresentationIntentType",
    "ProtocolName",
    "RequestedProcedureDescription",
    "RequestedProcedurePriority",
    "Rows",
    "SOPClassUID",
    "SeriesDescription",
    "SeriesNumber",
    "SliceThickness",
    "StationName",
    "StudyDate",
    "StudyDescription",
    "StudyTime",
    "ViewPosition",
)
"""What the receiver records of every instance; rules may name further keywords."""


class Disposition(StrEnum):
    """What the worklist found when an instance was recorded."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class InstanceKey:
    """The UIDs that place an instance (PS3.3 C.12.1, PS3.10 7.1)."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True, slots=True)
class StoredInstance:
    """Where the store put an instance.

    ``location`` is relative to the store; ``sha256`` is of the data set as
    transmitted, without preamble and file meta.
    """

    location: str
    n_bytes: int
    sha256: str
    spooled_on: str = ""
    """The host on which alone it can be read, until it is handed over."""


class Whereabouts(StrEnum):
    """What the worklist knows of a file in a spool."""

    KEPT = "kept"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True, slots=True)
class Identity:
    """Patient identity: kept apart, never logged."""

    patient_id: str = ""
    patient_name: str = ""
    patient_birth_date: str = ""
    patient_sex: str = ""
    issuer_of_patient_id: str = ""


@dataclass(frozen=True, slots=True)
class ReceivedInstance:
    """One acknowledged C-STORE, ready to be recorded."""

    key: InstanceKey
    stored: StoredInstance
    received_at: datetime
    calling_ae_title: str
    called_ae_title: str
    address: str
    attributes: Attributes = field(default_factory=dict)
    identity: Identity = field(default_factory=Identity)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a study, as the worklist gives it to router and worker."""

    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    location: str
    attributes: Attributes = field(default_factory=dict)
