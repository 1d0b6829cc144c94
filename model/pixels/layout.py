"""The header's claims about an image, checked before anything is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.pixels.errors import UnsupportedPixels

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

    from model.pixels.header import FrameHeader

MOST_PIXELS = 256 * 1024 * 1024
MOST_BYTES = 2 * MOST_PIXELS

MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_COLOUR = (
    "RGB",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
    "YBR_RCT",
    "YBR_PARTIAL_420",
)
_BITS_ALLOCATED = (1, 8, 16, 32, 64)


@dataclass(frozen=True)
class Limits:
    """What may be decoded at most, so that a header cannot ask for all memory."""

    pixels: int = MOST_PIXELS
    bytes: int = MOST_BYTES


@dataclass(frozen=True)
class Layout:
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


def transfer_syntax(ds: Dataset) -> UID | None:
    """How the dataset is encoded, as far as it is known."""
    meta = getattr(ds, "file_meta", None)
    syntax: UID | None = meta.get("TransferSyntaxUID") if meta is not None else None
    return syntax if syntax is not None and syntax.is_transfer_syntax else None


def layout_of(ds: Dataset, header: FrameHeader) -> Layout:
    """The Image Pixel module; raises UnsupportedPixels where it cannot be."""
    floating = "FloatPixelData" in ds or "DoubleFloatPixelData" in ds
    if not floating and "PixelData" not in ds:
        raise UnsupportedPixels("this object has no pixel data: send an image")
    allocated = header.whole("BitsAllocated")
    stored = allocated if floating else header.whole("BitsStored", allocated)
    layout = Layout(
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


def _check_layout(layout: Layout) -> None:
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
        in (*MONOCHROME, *_COLOUR, "PALETTE COLOR"),
        f"{layout.samples} samples per pixel in {layout.photometric}": layout.samples
        == (3 if many else 1),
    }
    for what, holds in rules.items():
        if not holds:
            raise UnsupportedPixels(f"{what} cannot be: the header is inconsistent")


def check_size(
    ds: Dataset, header: FrameHeader, layout: Layout, frame: int, limits: Limits
) -> None:
    """Raise UnsupportedPixels for what is over the limits or cut off."""
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
    syntax = transfer_syntax(ds)
    if syntax is None:
        raise UnsupportedPixels("the transfer syntax is not known: send it again")
    if not syntax.is_encapsulated and not layout.floating:
        _check_length(ds, layout, n_pixels)


def _check_length(ds: Dataset, layout: Layout, n_pixels: int) -> None:
    if layout.photometric == "YBR_FULL_422":
        n_pixels = n_pixels // 3 * 2  # two chrominance samples for two pixels
    needed = n_pixels * layout.allocated // 8
    present = len(ds["PixelData"].value or b"")
    if present < needed:
        raise UnsupportedPixels(
            f"the pixel data have {present} of {needed} bytes: the object is cut off"
        )
