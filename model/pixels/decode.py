"""Checks before decoding, decoding, and the Modality LUT."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.errors import BytesLengthException
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array

from model.pixels.errors import UnsupportedPixels
from model.pixels.header import FrameHeader
from model.pixels.luts import apply_lut

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset
    from pydicom.uid import UID

MOST_PIXELS = 256 * 1024 * 1024
MOST_BYTES = 2 * MOST_PIXELS

_CANNOT_DECODE = (
    ValueError,
    RuntimeError,
    AttributeError,
    NotImplementedError,
    TypeError,
    OSError,
    LookupError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
    BytesLengthException,
)
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = (
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
    "YBR_RCT",
    "YBR_PARTIAL_420",
)
# ITU-R BT.601, as in the Y of YBR_FULL (PS3.3 C.7.6.3.1.2)
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_BITS_ALLOCATED = (1, 8, 16, 32, 64)


@dataclass(frozen=True)
class Limits:
    """What may be decoded at most, so that a header cannot ask for all memory."""

    pixels: int = MOST_PIXELS
    bytes: int = MOST_BYTES


@dataclass(frozen=True)
class Frame:
    """values: modality values, float32 (rows, columns).

    padding: bool, True where a pixel is padding. colour: the values are luminance,
    0 to `brightest`.
    """

    values: NDArray[np.float32]
    padding: NDArray[np.bool_]
    colour: bool = False
    brightest: float = 1.0


@dataclass(frozen=True)
class _Layout:
    """Image Pixel module (PS3.3 C.7.6.3), checked."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high_bit: int
    signed: bool
    photometric: str
    floating: bool


def modality_frame(ds: Dataset, frame: int, limits: Limits) -> Frame:
    """Check, decode and rescale one frame; raises UnsupportedPixels."""
    header = FrameHeader(ds, frame)
    layout = _layout(ds, header)
    _check_size(ds, header, layout, frame, limits)
    stored = _decode(ds, frame, layout)
    if stored.shape[:2] != (layout.rows, layout.columns):
        raise UnsupportedPixels(
            f"the header says {layout.rows} x {layout.columns}, the pixels are"
            f" {stored.shape[0]} x {stored.shape[1]}: the object is damaged"
        )
    if layout.photometric not in _MONOCHROME:
        return _luminance(ds, stored, layout)
    values = stored if layout.floating else _valid_bits(stored, layout, ds)
    padding = _padding(values, header, layout)
    return Frame(_modality(values, ds, header, layout), padding)


def is_little_endian(ds: Dataset) -> bool:
    """Byte order of the dataset, for tables that were read as bytes."""
    syntax = _transfer_syntax(ds)
    return syntax is None or bool(syntax.is_little_endian)


def _transfer_syntax(ds: Dataset) -> UID | None:
    meta = getattr(ds, "file_meta", None)
    syntax: UID | None = meta.get("TransferSyntaxUID") if meta is not None else None
    return syntax if syntax is not None and syntax.is_transfer_syntax else None


def _layout(ds: Dataset, header: FrameHeader) -> _Layout:
    floating = "FloatPixelData" in ds or "DoubleFloatPixelData" in ds
    if not floating and "PixelData" not in ds:
        raise UnsupportedPixels("this object has no pixel data: send an image")
    allocated = header.whole("BitsAllocated")
    stored = allocated if floating else header.whole("BitsStored", allocated)
    layout = _Layout(
        rows=header.whole("Rows"),
        columns=header.whole("Columns"),
        samples=header.whole("SamplesPerPixel", 1),
        allocated=allocated,
        stored=stored,
        high_bit=header.whole("HighBit", stored - 1),
        signed=header.whole("PixelRepresentation", 0) == 1,
        photometric=str(header.get("PhotometricInterpretation") or "").strip(),
        floating=floating,
    )
    _check_layout(layout)
    return layout


def _check_layout(layout: _Layout) -> None:
    """What PS3.3 C.7.6.3.1 rules out; each refusal says which rule."""
    many = layout.photometric in _COLOUR
    rules = {
        f"{layout.rows} rows and {layout.columns} columns": min(
            layout.rows, layout.columns
        )
        > 0,
        f"Bits Allocated {layout.allocated}": layout.allocated in _BITS_ALLOCATED,
        f"Bits Stored {layout.stored} of {layout.allocated} allocated": 0
        < layout.stored
        <= layout.allocated,
        f"High Bit {layout.high_bit} with {layout.stored} stored": layout.stored - 1
        <= layout.high_bit
        < layout.allocated,
        f"Photometric Interpretation {layout.photometric!r}": layout.photometric
        in (*_MONOCHROME, *_COLOUR, "PALETTE COLOR"),
        f"{layout.samples} samples per pixel in {layout.photometric}": layout.samples
        == (3 if many else 1),
    }
    for what, holds in rules.items():
        if not holds:
            raise UnsupportedPixels(f"{what} cannot be: the header is inconsistent")


def _check_size(
    ds: Dataset, header: FrameHeader, layout: _Layout, frame: int, limits: Limits
) -> None:
    n_frames = max(1, header.whole("NumberOfFrames", 1))
    if not 0 <= frame < n_frames:
        raise UnsupportedPixels(f"frame {frame} of {n_frames}: ask for one that exists")
    n_pixels = layout.rows * layout.columns * layout.samples * n_frames
    n_bytes = n_pixels * max(8, layout.allocated) // 8
    if n_pixels > limits.pixels or n_bytes > limits.bytes:
        raise UnsupportedPixels(
            f"{n_pixels} pixel samples ({n_bytes} bytes) are more than the limit of"
            f" {limits.pixels} ({limits.bytes} bytes): raise the limit if this is meant"
        )
    syntax = _transfer_syntax(ds)
    if syntax is None:
        raise UnsupportedPixels("the transfer syntax is not known: send it again")
    if not syntax.is_encapsulated and not layout.floating:
        _check_length(ds, layout, n_pixels)


def _check_length(ds: Dataset, layout: _Layout, n_pixels: int) -> None:
    if layout.photometric == "YBR_FULL_422":
        n_pixels = n_pixels // 3 * 2  # two chrominance samples for two pixels
    needed = n_pixels * layout.allocated // 8
    present = len(ds["PixelData"].value or b"")
    if present < needed:
        raise UnsupportedPixels(
            f"the pixel data have {present} of {needed} bytes: the object is cut off"
        )


def _decode(ds: Dataset, frame: int, layout: _Layout) -> NDArray[np.generic]:
    options: dict[str, Any] = {}
    if not layout.floating and layout.high_bit != layout.stored - 1:
        # pydicom clears what lies above the lowest Bits Stored; here they are higher.
        options = {"bits_stored": layout.allocated}
    try:
        return pixel_array(ds, index=frame, **options)
    except _CANNOT_DECODE as error:
        syntax = _transfer_syntax(ds)
        name = syntax.name if syntax is not None else "unknown"
        raise UnsupportedPixels(
            f"cannot decode {name} ({type(error).__name__}): the object is damaged or"
            " this compression is not installed"
        ) from error


def _valid_bits(
    stored: NDArray[np.generic], layout: _Layout, ds: Dataset
) -> NDArray[np.generic]:
    """Bits Stored only: older objects keep overlays in the rest (PS3.5 8.1.1).

    Decoders of compressed frames return the sample itself, so nothing is shifted.
    """
    if layout.allocated in (1, layout.stored):
        return stored
    syntax = _transfer_syntax(ds)
    encapsulated = syntax is not None and syntax.is_encapsulated
    shift = 0 if encapsulated else layout.high_bit + 1 - layout.stored
    bits = (stored.astype(np.int64) >> shift) & ((1 << layout.stored) - 1)
    if layout.signed:
        half = 1 << (layout.stored - 1)
        bits = (bits ^ half) - half
    return bits


def _padding(
    values: NDArray[np.generic], header: FrameHeader, layout: _Layout
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


def _as_stored(value: float, layout: _Layout) -> int:
    """The padding value with the sign of the pixels, whichever way it was written."""
    bits = int(value) & ((1 << layout.allocated) - 1)
    negative = layout.signed and bits >= 1 << (layout.allocated - 1)
    return bits - (1 << layout.allocated) if negative else bits


def _modality(
    values: NDArray[np.generic], ds: Dataset, header: FrameHeader, layout: _Layout
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


def _luminance(ds: Dataset, stored: NDArray[np.generic], layout: _Layout) -> Frame:
    """RGB (the decoder has converted YBR) or a palette to luminance."""
    colours = stored
    if layout.photometric == "PALETTE COLOR":
        try:
            colours = apply_color_lut(stored, ds)
        except _CANNOT_DECODE as error:
            raise UnsupportedPixels(
                f"the palette cannot be applied ({type(error).__name__}): correct it"
            ) from error
    brightest = _brightest(colours, ds, layout)
    grey = colours[..., :3].astype(np.float32) @ _LUMINANCE
    return Frame(grey, np.zeros(grey.shape, bool), colour=True, brightest=brightest)


def _brightest(colours: NDArray[np.generic], ds: Dataset, layout: _Layout) -> float:
    if layout.photometric != "PALETTE COLOR":
        return float((1 << layout.stored) - 1)
    descriptor = ds.get("RedPaletteColorLookupTableDescriptor")
    wide = colours.dtype.itemsize > 1 and (descriptor is None or int(descriptor[2]) > 8)  # noqa: PLR2004
    return 65535.0 if wide else 255.0
