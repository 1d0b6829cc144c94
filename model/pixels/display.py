"""Modality values -> what a screen shows: VOI, polarity, padding, square pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.pixels.decode import Frame, is_little_endian
from model.pixels.errors import UnsupportedPixels
from model.pixels.header import FrameHeader
from model.pixels.luts import apply_lut, apply_window, lut_descriptor

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

    Pixels = NDArray[np.float32]

_ROBUST_PERCENTILES = (0.1, 99.9)
_NEARLY_SQUARE = 0.01
_MOST_STRETCHED = 16.0


def shown(ds: Dataset, frame: int, decoded: Frame) -> Pixels:
    """float32 in [0, 1], white 1, square pixels."""
    header = FrameHeader(ds, frame)
    if decoded.colour:
        grey = np.clip(decoded.values / np.float32(decoded.brightest), 0, 1)
    else:
        grey = _values_of_interest(ds, header, decoded)
        if _is_inverse(header):
            grey = 1 - grey
        grey = np.where(decoded.padding, np.float32(0), grey)
    return _square(np.asarray(grey, np.float32), header)


def _values_of_interest(ds: Dataset, header: FrameHeader, decoded: Frame) -> Pixels:
    """VOI LUT Sequence, else window, else the range of what is there (C.11.2.1)."""
    item = header.item("VOILUTSequence")
    if item is not None:
        signed = _is_voi_input_signed(header)
        _, _, bits = lut_descriptor(item, signed=signed)
        mapped = apply_lut(
            decoded.values, item, signed=signed, little=is_little_endian(ds)
        )
        return np.asarray(np.clip(mapped / ((1 << bits) - 1), 0, 1), np.float32)
    if header.get("WindowCenter") is not None or header.get("WindowWidth") is not None:
        return apply_window(_finite(decoded), header)
    return _full_range(decoded)


def _is_voi_input_signed(header: FrameHeader) -> bool:
    """Whether the input of the VOI LUT can be negative (C.11.2.1.1).

    The output of a Modality LUT is unsigned; a rescale can make any value negative.
    """
    if header.item("ModalityLUTSequence") is not None:
        return False
    intercept = header.number("RescaleIntercept") or 0.0
    return header.whole("PixelRepresentation", 0) == 1 or intercept < 0


def _finite(decoded: Frame) -> Pixels:
    return np.where(np.isfinite(decoded.values), decoded.values, np.float32(0))


def _full_range(decoded: Frame) -> Pixels:
    valid = decoded.values[~decoded.padding]
    if not valid.size:
        raise UnsupportedPixels("every pixel is padding: there is nothing to show")
    low, high = np.percentile(valid, _ROBUST_PERCENTILES)
    if high <= low:
        low, high = float(valid.min()), float(valid.max())
    span = (high - low) or 1.0
    return np.asarray(np.clip((_finite(decoded) - low) / span, 0, 1), np.float32)


def _is_inverse(header: FrameHeader) -> bool:
    """MONOCHROME1 and Presentation LUT Shape INVERSE say the same thing.

    PS3.3 C.8.11.3.1.2 has INVERSE go with MONOCHROME1: together they invert once.
    """
    shape = str(header.get("PresentationLUTShape") or "").strip()
    if shape not in ("", "IDENTITY", "INVERSE", "LIN OD"):
        raise UnsupportedPixels(
            f"Presentation LUT Shape {shape!r} is not defined: correct it at the source"
        )
    photometric = str(header.get("PhotometricInterpretation")).strip()
    return photometric == "MONOCHROME1" or shape == "INVERSE"


def _square(grey: Pixels, header: FrameHeader) -> Pixels:
    """Stretch the coarser axis until pixels are square (C.7.6.3.1.7)."""
    ratio = _height_to_width(header)
    if abs(ratio - 1) < _NEARLY_SQUARE:
        return grey
    if not 1 / _MOST_STRETCHED <= ratio <= _MOST_STRETCHED:
        raise UnsupportedPixels(
            f"pixels are {ratio:g} times as high as wide: correct the pixel spacing"
        )
    if ratio > 1:
        return _stretch_rows(grey, ratio)
    return np.ascontiguousarray(_stretch_rows(grey.T, 1 / ratio).T)


def _height_to_width(header: FrameHeader) -> float:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio"):
        value = header.get(keyword)
        if value is None:
            continue
        try:
            vertical, horizontal = (float(number) for number in value)
        except (TypeError, ValueError) as error:
            raise UnsupportedPixels(
                f"{keyword} is not two numbers: correct it at the source"
            ) from error
        if vertical == horizontal == 0:
            continue  # some systems write 0\0 for "not known"
        if not (vertical > 0 and horizontal > 0):
            raise UnsupportedPixels(f"{keyword} must be positive: correct it")
        return vertical / horizontal
    return 1.0


def _stretch_rows(grey: Pixels, ratio: float) -> Pixels:
    """Linear interpolation to round(rows * ratio) rows, edges repeated."""
    n_rows = grey.shape[0]
    n_new = max(1, round(n_rows * ratio))
    position = np.clip((np.arange(n_new) + 0.5) / n_new * n_rows - 0.5, 0, n_rows - 1)
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, n_rows - 1)
    part = (position - below).astype(np.float32)[:, None]
    return np.asarray(grey[below] * (1 - part) + grey[above] * part, np.float32)
