"""Modality values -> what a screen shows: VOI, polarity, padding, square pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model.pixels.decode import Frame, Stored, is_little_endian
from model.pixels.errors import UnsupportedPixels
from model.pixels.luts import apply_lut, apply_window, lut_descriptor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.pixels.header import FrameHeader

    Pixels = NDArray[np.float32]

_ROBUST_PERCENTILES = (0.1, 99.9)
_NEARLY_SQUARE = 0.01
_MOST_STRETCHED = 16.0
_TABLED_BYTES = 2
_AT_ONCE = 1 << 16  # pixels, so that what is looked up stays in the cache


def shown(stored: Stored) -> Pixels:
    """float32 in [0, 1], white 1, square pixels."""
    tabled = is_tabled(stored)
    grey = _looked_up(stored) if tabled else _grey(stored, stored.modality())
    return square(np.asarray(grey, np.float32), stored.header)


def is_tabled(stored: Stored) -> bool:
    """Whether a table of every possible stored value is smaller than the image."""
    kind = stored.values.dtype
    whole = kind.kind in "iu" and kind.itemsize <= _TABLED_BYTES and kind.isnative
    return stored.is_grey and whole and stored.values.size > 1 << (8 * kind.itemsize)


def _looked_up(stored: Stored) -> Pixels:
    """The same numbers as without a table: each value's grey is worked out once."""
    kind = stored.values.dtype
    codes = stored.values.view(f"u{kind.itemsize}")
    every = np.arange(1 << (8 * kind.itemsize)).astype(codes.dtype).view(kind)
    with np.errstate(all="ignore"):  # of values that no pixel has
        table = _grey(stored, stored.of(every).modality(), codes)
    grey = np.empty(codes.shape, np.float32)
    step = max(1, _AT_ONCE // codes.shape[1])
    for first in range(0, len(codes), step):
        some = slice(first, first + step)
        np.take(table, codes[some], out=grey[some], mode="clip")
    return grey


def _grey(
    stored: Stored, decoded: Frame, codes: NDArray[np.unsignedinteger] | None = None
) -> Pixels:
    """As a screen shows the frame; each pixel by itself, save for the range of all.

    codes: where `decoded` is a table, the index of each pixel in it.
    """
    if decoded.colour:
        shares = np.clip(decoded.values / np.float32(decoded.brightest), 0, 1)
        return np.asarray(shares, np.float32)
    grey = _values_of_interest(stored, decoded, codes)
    if _is_inverse(stored.header):
        grey = 1 - grey
    return np.where(decoded.padding, np.float32(0), grey)


def _values_of_interest(
    stored: Stored, decoded: Frame, codes: NDArray[np.unsignedinteger] | None
) -> Pixels:
    """VOI LUT Sequence, else window, else the range of what is there (C.11.2.1)."""
    header = stored.header
    item = header.item("VOILUTSequence")
    if item is not None:
        signed = _is_voi_input_signed(header)
        _, _, bits = lut_descriptor(item, signed=signed)
        mapped = apply_lut(
            decoded.values, item, signed=signed, little=is_little_endian(stored.ds)
        )
        return np.asarray(np.clip(mapped / ((1 << bits) - 1), 0, 1), np.float32)
    if header.get("WindowCenter") is not None or header.get("WindowWidth") is not None:
        return apply_window(_finite(decoded), header)
    return _full_range(decoded, codes)


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


def _full_range(
    decoded: Frame, codes: NDArray[np.unsignedinteger] | None = None
) -> Pixels:
    if codes is None:
        valid = decoded.values[~decoded.padding]
        counts = np.ones(valid.size, np.int64)
    else:
        counts = np.bincount(codes.ravel(), minlength=decoded.values.size)
        there = (counts > 0) & ~decoded.padding
        valid, counts = decoded.values[there], counts[there]
    if not valid.size:
        raise UnsupportedPixels("every pixel is padding: there is nothing to show")
    low, high = _robust_range(valid, counts)
    if high <= low:
        low, high = np.float64(valid.min()), np.float64(valid.max())
    span = (high - low) or 1.0
    return np.asarray(np.clip((_finite(decoded) - low) / span, 0, 1), np.float32)


def _robust_range(
    values: Pixels, counts: NDArray[np.int64]
) -> tuple[np.floating, np.floating]:
    """What `np.percentile` says of `values`, each repeated as often as it counts."""
    if len(counts) == counts.sum():
        low, high = np.percentile(values, _ROBUST_PERCENTILES)
        return low, high
    order = np.argsort(values)
    values, ends = values[order], np.cumsum(counts[order])

    # In double precision and as an array, as numpy does for several percentiles.
    places = (ends[-1] - 1) * np.true_divide(_ROBUST_PERCENTILES, np.float32(100))
    found = []
    for place in places:
        before = int(np.floor(place))
        two = values[np.searchsorted(ends, [before, before + 1], side="right")]
        found.append(np.quantile(two, np.array([place - before]))[0])
    low, high = found
    return low, high


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


def square(grey: Pixels, header: FrameHeader) -> Pixels:
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
