"""Training sources of series without patients: phantoms as multi-frame files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
)

from model.data.manifest import Row
from model.phantom_ct import Scan, scan
from model.phantom_mr import MRScan, mr_scan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

_SIZE, _SLICES = 64, 40
_ROOT = "1.2.826.0.1.3680043.10.511.8"
_AXIAL = [1, 0, 0, 0, 1, 0]
_INTERCEPT = -1024


class _Kind(NamedTuple):
    """label: 1 where a sphere was drawn. draw: of a seed, with a sphere or without."""

    label: str
    draw: Callable[[int, bool], Dataset]


def write(
    folder: Path, source: str, *, n: int, first_seed: int, split: str
) -> list[Row]:
    """Write n phantoms, every other with a sphere, below folder/source.

    source: one of SOURCES. A phantom that is there already is not drawn again.
    """
    (folder / source).mkdir(parents=True, exist_ok=True)
    return [_write_one(folder, source, first_seed + i, split) for i in range(n)]


def _write_one(folder: Path, source: str, seed: int, split: str) -> Row:
    kind, lesion = _KINDS[source], seed % 2 == 1
    relative = f"{source}/{seed:06d}.dcm"
    path = folder / relative
    if not path.exists():
        kind.draw(seed, lesion).save_as(path, enforce_file_format=True)
    return Row(
        path=relative,
        patient=f"{source}-{seed}",
        study=f"{source}-{seed}",
        view="",
        labels={kind.label: float(lesion)},
        split=split,
        source=source,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def ct_dataset(found: Scan, seed: int) -> Dataset:
    """A scan as what training needs of an Enhanced CT Image (PS3.3 A.38)."""
    stored = (found.hounsfield - np.int16(_INTERCEPT)).astype("<u2")
    ds = _dataset(stored, found, f"{_ROOT}.{seed}")
    ds.SOPClassUID, ds.Modality = EnhancedCTImageStorage, "CT"
    ds.PatientID = ds.PatientName = f"PHANTOM{seed}"
    rescale = {"RescaleIntercept": _INTERCEPT, "RescaleSlope": 1, "RescaleType": "HU"}
    [shared] = ds.SharedFunctionalGroupsSequence
    shared.PixelValueTransformationSequence = [_item(**rescale)]
    return ds


def mr_dataset(found: MRScan, seed: int, series: int = 1) -> Dataset:
    """A scan as what training needs of an Enhanced MR Image (PS3.3 A.36)."""
    ds = _dataset(found.signal.astype("<u2"), found, f"{_ROOT}.1{seed:06d}.{series}")
    ds.SOPClassUID, ds.Modality = EnhancedMRImageStorage, "MR"
    ds.StudyInstanceUID = f"{_ROOT}.1{seed:06d}"
    ds.PatientID = ds.PatientName = f"PHANTOM-MR{seed}"
    ds.SeriesNumber, ds.SeriesDescription = series, f"AX {found.weighting}"
    return ds


def _dataset(stored: NDArray[np.uint16], found: Scan | MRScan, uid: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.StudyInstanceUID = ds.SeriesInstanceUID = uid
    ds.SOPInstanceUID = f"{uid}.1"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.Manufacturer, ds.InstanceNumber = "Phantom", 1
    ds.NumberOfFrames, ds.Rows, ds.Columns = stored.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 0
    spacing, thickness = [found.pixel_mm] * 2, found.spacing_mm
    measures = _item(PixelSpacing=spacing, SliceThickness=thickness)
    plane = _item(ImageOrientationPatient=_AXIAL)
    shared = _item(PlaneOrientationSequence=plane, PixelMeasuresSequence=measures)
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=_item(ImagePositionPatient=[0, 0, z]))
        for z in (number * found.spacing_mm for number in range(len(stored)))
    ]
    ds.PixelData = stored.tobytes()
    return ds


def _item(**values: object) -> Dataset:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, [value] if isinstance(value, Dataset) else value)
    return made


def _ct(seed: int, lesion: bool) -> Dataset:
    return ct_dataset(scan(seed, lesion=lesion, n_slices=_SLICES, size=_SIZE), seed)


def _mr(seed: int, lesion: bool) -> Dataset:
    return mr_dataset(mr_scan(seed, lesion=lesion), seed)


_KINDS = {"phantom-ct": _Kind("nodule", _ct), "phantom-mr": _Kind("lesion", _mr)}
SOURCES = tuple(_KINDS)
"""What a recipe calls them."""
