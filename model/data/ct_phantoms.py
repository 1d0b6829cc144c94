"""A training source of series without patients: phantom CTs as multi-frame files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian

from model.data.manifest import Row
from model.phantom_ct import Scan, scan

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "phantom-ct"
LABEL = "nodule"
"""1 where a bright sphere was drawn."""

_SIZE, _SLICES = 64, 40
_ROOT = "1.2.826.0.1.3680043.10.511.8"
_AXIAL = [1, 0, 0, 0, 1, 0]
_INTERCEPT = -1024


def write(folder: Path, *, n: int, first_seed: int, split: str) -> list[Row]:
    """Write n phantoms, every other with a sphere, below folder/phantom-ct.

    A phantom that is there already is not drawn again.
    """
    (folder / SOURCE).mkdir(parents=True, exist_ok=True)
    return [_write_one(folder, first_seed + i, split) for i in range(n)]


def _write_one(folder: Path, seed: int, split: str) -> Row:
    lesion = seed % 2 == 1
    relative = f"{SOURCE}/{seed:06d}.dcm"
    path = folder / relative
    if not path.exists():
        found = scan(seed, lesion=lesion, n_slices=_SLICES, size=_SIZE)
        dataset(found, seed).save_as(path, enforce_file_format=True)
    return Row(
        path=relative,
        patient=f"{SOURCE}-{seed}",
        study=f"{SOURCE}-{seed}",
        view="",
        labels={LABEL: float(lesion)},
        split=split,
        source=SOURCE,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def dataset(found: Scan, seed: int) -> Dataset:
    """A scan as what training needs of an Enhanced CT Image (PS3.3 A.38)."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.Modality = EnhancedCTImageStorage, "CT"
    ds.StudyInstanceUID = ds.SeriesInstanceUID = f"{_ROOT}.{seed}"
    ds.SOPInstanceUID = f"{_ROOT}.{seed}.1"
    ds.PatientID = ds.PatientName = f"PHANTOM{seed}"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.Manufacturer, ds.InstanceNumber = "Phantom", 1
    n_slices, ds.Rows, ds.Columns = found.hounsfield.shape
    ds.NumberOfFrames = n_slices
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    ds.SharedFunctionalGroupsSequence = [_shared(found)]
    places = [number * found.spacing_mm for number in range(n_slices)]
    ds.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=_item(ImagePositionPatient=[0, 0, z]))
        for z in places
    ]
    ds.PixelData = (found.hounsfield - np.int16(_INTERCEPT)).astype("<u2").tobytes()
    return ds


def _shared(found: Scan) -> Dataset:
    spacing, thickness = [found.pixel_mm] * 2, found.spacing_mm
    rescale = {"RescaleIntercept": _INTERCEPT, "RescaleSlope": 1, "RescaleType": "HU"}
    return _item(
        PlaneOrientationSequence=_item(ImageOrientationPatient=_AXIAL),
        PixelMeasuresSequence=_item(PixelSpacing=spacing, SliceThickness=thickness),
        PixelValueTransformationSequence=_item(**rescale),
    )


def _item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, [value] if isinstance(value, Dataset) else value)
    return made
