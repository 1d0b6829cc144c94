"""MR studies of several sequences, after the CT phantoms: grey values of no unit."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage

from model.phantom_ct import Scan
from tests.series import ct

PERCENTILES = [[1, 99], [50, 99.5]]
MATCH = {"SeriesDescription": ["*flair*"], "ScanningSequence": ["SE", ""]}
FLAIR = {"SeriesDescription": "AX FLAIR fs", "ScanningSequence": ["SE", "IR"]}
_OF_CT = ("KVP", "ConvolutionKernel", "RescaleIntercept", "RescaleSlope", "RescaleType")


def values(found: Scan, gain: float, offset: int) -> np.ndarray:
    """uint16: the same picture, whatever a scanner makes of its signal."""
    return np.rint((found.hounsfield + 1024) * gain + offset).astype("<u2")


def slice_of(
    found: Scan, number: int, series: int, gain: float = 0.4, offset: int = 20, **said
) -> Dataset:
    """One slice of a sequence, as a scanner would write it."""
    ds = ct.slice_of(found, number, series)
    for keyword in _OF_CT:
        delattr(ds, keyword)
    ds.SOPClassUID, ds.Modality = MRImageStorage, "MR"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "SE"]
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "SE", "SK", ""
    ds.MRAcquisitionType, ds.EchoTrainLength = "2D", 1
    ds.EchoTime, ds.RepetitionTime = 90, 9000
    ds.PixelData = values(found, gain, offset)[number].tobytes()
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    return ds


def write_series(found: Scan, folder, series: int, **said) -> None:
    """Every slice of a sequence as a file."""
    for number in range(len(found.hounsfield)):
        ds = slice_of(found, number, series, **said)
        ct.write(ds, folder / f"{series}-{number:03d}.dcm")


def enhanced(found: Scan, series: int, **said) -> Dataset:
    """The same as one Enhanced MR object, its frames from head to feet."""
    ds = ct.enhanced(found, series)
    for keyword in ("KVP", "ConvolutionKernel"):
        delattr(ds, keyword)
    ds.SOPClassUID, ds.Modality = EnhancedMRImageStorage, "MR"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    for frame in ds.PerFrameFunctionalGroupsSequence:
        del frame.PixelValueTransformationSequence
    ds.PixelData = values(found, 0.9, 7)[::-1].tobytes()
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    return ds


def stack_of(found: Scan, number: int) -> np.ndarray:
    """float32 (depth x percentiles, rows, columns) in [0, 1], as the node makes it."""
    last, half = len(found.hounsfield) - 1, ct.DEPTH // 2
    planes = []
    for step in range(-half, half + 1):
        plane = found.hounsfield[min(max(number + step, 0), last)].astype(np.float32)
        for low, high in PERCENTILES:
            first, second = np.percentile(plane, (low, high))
            share = np.clip((plane - first) / max(second - first, 1e-6), 0, 1)
            planes.append(np.rint(share * 255) / 255)
    return np.asarray(planes, np.float32)
