"""Generated images as modalities send them, whose UIDs are numbers to be counted up.

No pixel of them comes from a patient: noise under a header that says PHANTOM.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
    UltrasoundImageStorage,
)

DIGITS = 12
"""Of the number at the end of each UID."""

INSTANCE, STUDY, SERIES = "2.25.1", "2.25.2", "2.25.3"
_META_AT = 132
_META_HEAD = 12


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of image: ``rows`` x ``columns`` of 16 bits."""

    modality: str
    sop_class_uid: UID
    rows: int
    columns: int


KINDS = {
    "CT": Kind("CT", CTImageStorage, 512, 512),
    "MR": Kind("MR", MRImageStorage, 176, 180),
    "DX": Kind("DX", DigitalXRayImageStorageForPresentation, 2860, 2800),
    "MG": Kind("MG", DigitalMammographyXRayImageStorageForPresentation, 4096, 3664),
    "US": Kind("US", UltrasoundImageStorage, 600, 800),
}


@dataclass(frozen=True, slots=True)
class Template:
    """One image; ``head`` bytes come before its pixels, the numbers lie at ``offsets``.

    ``offsets``: of the digits in the SOP Instance, Study and Series Instance UID.
    """

    kind: Kind
    meta: bytes
    data_set: bytes
    head: int
    offsets: tuple[int, int, int]

    def numbered(self, instance: int, study: int) -> bytes:
        """The data set of one instance."""
        content = bytearray(self.data_set)
        numbers = (instance, study, study)
        for offset, number in zip(self.offsets, numbers, strict=True):
            content[offset : offset + DIGITS] = digits(number)
        return bytes(content)

    def file(self, instance: int, study: int) -> bytes:
        """The PS3.10 file of one instance."""
        old = (INSTANCE + "0" * DIGITS).encode()
        meta = self.meta.replace(old, INSTANCE.encode() + digits(instance))
        return meta + self.numbered(instance, study)


def template(name: str) -> Template:
    """An image of the kind ``name``, its UIDs numbered zero."""
    kind = KINDS[name]
    whole = _encoded(_dataset(kind))
    meta_length = int.from_bytes(whole[_META_AT + 8 : _META_AT + 12], "little")
    start = _META_AT + _META_HEAD + meta_length
    content = whole[start:]
    offsets = tuple(
        content.index((prefix + "0" * DIGITS).encode()) + len(prefix)
        for prefix in (INSTANCE, STUDY, SERIES)
    )
    head = len(content) - 2 * kind.rows * kind.columns
    return Template(kind, whole[:start], content, head, offsets)  # type: ignore[arg-type]


def digits(number: int) -> bytes:
    """``number`` as the end of a UID."""
    return b"%0*d" % (DIGITS, number)


def files(one: Template, folder: Path, numbers: range, per_study: int) -> list[Path]:
    """Files for senders that read files, ``per_study`` of them in each study."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, number in enumerate(numbers):
        path = folder / f"{number}.dcm"
        path.write_bytes(one.file(number, numbers.start + place // per_study))
        paths.append(path)
    return paths


def _dataset(kind: Kind) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = kind.sop_class_uid
    ds.SOPInstanceUID = INSTANCE + "0" * DIGITS
    ds.StudyInstanceUID = STUDY + "0" * DIGITS
    ds.SeriesInstanceUID = SERIES + "0" * DIGITS
    ds.PatientName, ds.PatientID = "PHANTOM^BENCH", "BENCH"
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "BENCH", ""
    ds.StudyDate, ds.StudyTime = "20260101", "120000"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = kind.modality, "1", "1"
    ds.ImageType = ["ORIGINAL", "PRIMARY"]
    ds.Rows, ds.Columns = kind.rows, kind.columns
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    n_pixels = kind.rows * kind.columns
    noise = np.random.default_rng(0).integers(0, 4096, n_pixels, np.uint16)
    ds.PixelData = noise.astype("<u2").tobytes()
    return ds


def _encoded(ds: Dataset) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    written = BytesIO()
    dcmwrite(written, ds, enforce_file_format=True)
    return written.getvalue()
