"""Decoding, and the Modality LUT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.pixels.processing import apply_color_lut

from model.pixels import jpeg_ls
from model.pixels.decoders import CANNOT_DECODE, decoded_frame
from model.pixels.errors import UnsupportedPixels
from model.pixels.header import FrameHeader
from model.pixels.layout import (
    MONOCHROME,
    Layout,
    Limits,
    check_size,
    layout_of,
    transfer_syntax,
)
from model.pixels.luts import apply_lut

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

# ITU-R BT.601, as in the Y of YBR_FULL (PS3.3 C.7.6.3.1.2)
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Frame:
    """values: modality values, float32, usually (rows, columns).

    padding: bool, True where a pixel is padding. colour: the values are luminance,
    0 to `brightest`.
    """

    values: NDArray[np.float32]
    padding: NDArray[np.bool_]
    colour: bool = False
    brightest: float = 1.0


@dataclass(frozen=True)
class Stored:
    """A decoded frame as it lies in the object, before any table or rescale.

    values: (rows, columns), with a last axis of samples in colour.
    """

    ds: Dataset
    header: FrameHeader
    layout: Layout
    values: NDArray[np.generic]

    @property
    def is_grey(self) -> bool:
        """Whether the values are monochrome, not colours or palette indices."""
        return self.layout.photometric in MONOCHROME

    def modality(self) -> Frame:
        """After the Modality LUT or Rescale; raises UnsupportedPixels."""
        if not self.is_grey:
            return _luminance(self.ds, self.values, self.layout)
        values = self.values
        if not self.layout.floating:
            values = _valid_bits(values, self.layout, self.ds)
        padding = _padding(values, self.header, self.layout)
        return Frame(_modality(values, self.ds, self.header, self.layout), padding)

    def of(self, values: NDArray[np.generic]) -> Stored:
        """Other stored values under the same header."""
        return replace(self, values=values)


def stored_frame(ds: Dataset, frame: int, limits: Limits) -> Stored:
    """Check and decode one frame; raises UnsupportedPixels."""
    header = FrameHeader(ds, frame)
    layout = layout_of(ds, header)
    check_size(ds, header, layout, frame, limits)
    values = _decode(ds, frame, layout)
    if values.shape[:2] != (layout.rows, layout.columns):
        raise UnsupportedPixels(
            f"the header says {layout.rows} x {layout.columns}, the pixels are"
            f" {values.shape[0]} x {values.shape[1]}: the object is damaged"
        )
    return Stored(ds, header, layout, values)


def is_little_endian(ds: Dataset) -> bool:
    """Byte order of the dataset, for tables that were read as bytes."""
    syntax = transfer_syntax(ds)
    return syntax is None or bool(syntax.is_little_endian)


def decoding_options(layout: Layout) -> dict[str, Any]:
    """What pydicom must be told of a frame."""
    if not layout.floating and layout.high_bit != layout.stored - 1:
        # pydicom clears what lies above the lowest Bits Stored; here they are higher.
        return {"bits_stored": layout.allocated}
    return {}


def _decode(ds: Dataset, frame: int, layout: Layout) -> NDArray[np.generic]:
    syntax = transfer_syntax(ds)
    name = syntax.name if syntax is not None else "unknown"
    try:
        return decoded_frame(ds, frame, syntax, decoding_options(layout))
    except MemoryError as error:
        raise UnsupportedPixels(
            f"decoding {name} takes more memory than is allowed: the object is damaged,"
            " or give decoding more memory"
        ) from error
    except CANNOT_DECODE as error:
        if jpeg_ls.CUT_OFF in str(error):
            raise UnsupportedPixels(
                f"{jpeg_ls.CUT_OFF}: send the object again from its source"
            ) from error
        raise UnsupportedPixels(
            f"cannot decode {name} ({type(error).__name__}): the object is damaged or"
            " this compression is not installed"
        ) from error


def _valid_bits(
    stored: NDArray[np.generic], layout: Layout, ds: Dataset
) -> NDArray[np.generic]:
    """Bits Stored only: older objects keep overlays in the rest (PS3.5 8.1.1).

    Decoders of compressed frames return the sample itself, so nothing is shifted.
    """
    if layout.allocated in (1, layout.stored):
        return stored
    syntax = transfer_syntax(ds)
    encapsulated = syntax is not None and syntax.is_encapsulated
    shift = 0 if encapsulated else layout.high_bit + 1 - layout.stored
    bits = (stored.astype(np.int64) >> shift) & ((1 << layout.stored) - 1)
    if layout.signed:
        half = 1 << (layout.stored - 1)
        bits = (bits ^ half) - half
    return bits


def _padding(
    values: NDArray[np.generic], header: FrameHeader, layout: Layout
) -> NDArray[np.bool_]:
    """Pixel Padding Value to Range Limit, on stored values (PS3.3 C.7.5.1.1.2)."""
    if layout.floating:
        floats = values.astype(np.float64)
        value = header.number("FloatPixelPaddingValue")
        absent = ~np.isfinite(floats)
        return absent if value is None else absent | (floats == np.float32(value))
    value = header.number("PixelPaddingValue")
    if value is None:
        return np.zeros(values.shape, bool)
    limit = header.number("PixelPaddingRangeLimit")
    ends = [_as_stored(v, layout) for v in (value, value if limit is None else limit)]
    whole = values.astype(np.int64)
    return (whole >= min(ends)) & (whole <= max(ends))


def _as_stored(value: float, layout: Layout) -> int:
    """The padding value with the sign of the pixels, whichever way it was written."""
    bits = int(value) & ((1 << layout.allocated) - 1)
    negative = layout.signed and bits >= 1 << (layout.allocated - 1)
    return bits - (1 << layout.allocated) if negative else bits


def _modality(
    values: NDArray[np.generic], ds: Dataset, header: FrameHeader, layout: Layout
) -> NDArray[np.float32]:
    """Modality LUT Sequence, else Rescale Slope and Intercept (PS3.3 C.11.1)."""
    item = header.item("ModalityLUTSequence")
    if item is not None:
        plain = values.astype(np.float32)
        return apply_lut(plain, item, signed=layout.signed, little=is_little_endian(ds))
    slope, intercept = header.number("RescaleSlope"), header.number("RescaleIntercept")
    if slope is None and intercept is None:
        return values.astype(np.float32)
    factor = 1.0 if slope is None else slope
    if factor == 0:
        raise UnsupportedPixels("Rescale Slope is 0: correct it at the source")
    rescaled = values.astype(np.float64) * factor + (intercept or 0.0)
    return np.asarray(rescaled, np.float32)


def _luminance(ds: Dataset, stored: NDArray[np.generic], layout: Layout) -> Frame:
    """RGB (the decoder has converted YBR) or a palette to luminance."""
    colours = stored
    if layout.photometric == "PALETTE COLOR":
        try:
            colours = apply_color_lut(stored, ds)
        except CANNOT_DECODE as error:
            raise UnsupportedPixels(
                f"the palette cannot be applied ({type(error).__name__}): correct it"
            ) from error
    brightest = _brightest(colours, ds, layout)
    grey = colours[..., :3].astype(np.float32) @ _LUMINANCE
    return Frame(grey, np.zeros(grey.shape, bool), colour=True, brightest=brightest)


def _brightest(colours: NDArray[np.generic], ds: Dataset, layout: Layout) -> float:
    if layout.photometric != "PALETTE COLOR":
        return float((1 << layout.stored) - 1)
    descriptor = ds.get("RedPaletteColorLookupTableDescriptor")
    wide = colours.dtype.itemsize > 1 and (descriptor is None or int(descriptor[2]) > 8)  # noqa: PLR2004
    return 65535.0 if wide else 255.0
