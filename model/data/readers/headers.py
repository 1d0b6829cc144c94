"""The header facts that a manifest keeps; pixels are not read."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import pydicom
from pydicom.errors import InvalidDicomError

from model.data.manifest import Row
from model.data.readers.tables import Findings, age_of, sex_of, view_of

if TYPE_CHECKING:
    from pathlib import Path

    from pydicom import Dataset

_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "ImageType",
    "NumberOfFrames",
    "StudyInstanceUID",
    "AccessionNumber",
    "StudyDate",
    "PatientID",
    "PatientSex",
    "PatientAge",
    "PatientBirthDate",
    "ViewPosition",
    "Manufacturer",
    "Rows",
    "Columns",
]
_DATE = 8
# What pydicom raises for files that are cut or are not DICOM
_UNREADABLE = (
    InvalidDicomError,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    NotImplementedError,
    struct.error,
)


def header(path: Path) -> Dataset | None:
    """The listed attributes, or None when the file is not DICOM or has no image."""
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    except _UNREADABLE:
        return None
    return ds if "Rows" in ds else None


def text(ds: Dataset | None, keyword: str) -> str:
    """The value as text, "" when absent or empty."""
    return "" if ds is None else str(ds.get(keyword) or "").strip()


def with_facts(row: Row, ds: Dataset | None) -> Row:
    """The row with the view, sex, age and manufacturer of its header."""
    age = age_of(text(ds, "PatientAge"))
    return replace(
        row,
        view=view_of(text(ds, "ViewPosition")),
        sex=sex_of(text(ds, "PatientSex")),
        age_years=age or _age_from_dates(ds),
        manufacturer=text(ds, "Manufacturer"),
    )


def pseudonym(kind: str, value: str) -> str:
    """A name that hides the value from a glance; whoever has the values can find it."""
    return f"{kind}-{hashlib.sha256(value.encode()).hexdigest()[:16]}"


def _age_from_dates(ds: Dataset | None) -> str:
    """Completed years between birth and study (DA, PS3.5 6.2)."""
    birth, study = text(ds, "PatientBirthDate"), text(ds, "StudyDate")
    if not (len(birth) == len(study) == _DATE and (birth + study).isdecimal()):
        return ""
    years = int(study[:4]) - int(birth[:4]) - (study[4:] < birth[4:])
    return age_of(str(years))


def labelled_row(path: str, ds: Dataset, known: Findings, source: str) -> Row:
    """A row of the manifest; patient and study by pseudonyms, no split yet."""
    patient, study = text(ds, "PatientID"), text(ds, "StudyInstanceUID")
    row = Row(
        path=path,
        patient=pseudonym(source, patient) if patient else "",
        study=pseudonym("study", study or path),
        view="",
        labels=known.labels,
        uncertain=known.uncertain,
        blank=known.blank,
        split="",
        source=source,
        sha256="",
    )
    return with_facts(row, ds)
