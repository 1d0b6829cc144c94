"""Slices of a series: chosen frames, shown through windows, eight bits each.

A window here is a range of modality values (Hounsfield units for CT): centre - width/2
becomes 0, centre + width/2 becomes 255 (LINEAR_EXACT, PS3.3 C.11.2.1.3.2). Each value
that is stored is worked out once, so that a slice is one pass over its pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage, MRImageStorage

from model.pixels.decode import Stored, decoding_options, stored_frame
from model.pixels.decoders import CANNOT_DECODE, decoded_frames
from model.pixels.display import is_tabled, shown, square
from model.pixels.errors import UnsupportedPixels
from model.pixels.header import FrameHeader
from model.pixels.heads import Heads
from model.pixels.layout import Limits, layout_of, transfer_syntax
from model.pixels.reading import file_meta, is_deflated, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from pydicom import FileDataset
    from pydicom.uid import UID

    Windows = Sequence[tuple[float, float]]

_OF_ONE_FRAME = (CTImageStorage, MRImageStorage)  # PS3.3 A.3, A.4
_NARROWEST = 1e-6
_AT_ONCE = 1 << 16  # pixels, so that what is looked up stays in the cache


def windowed_frames(
    file: BinaryIO,
    frames: Sequence[int],
    windows: Windows,
    *,
    limits: Limits,
    percentiles: bool = False,
    heads: Heads | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """uint8 (windows, rows, columns) for each of ``frames`` (from 0), in order.

    Without windows one channel, as `display_pixels` shows the frame. percentiles: the
    windows are (low, high) percentiles of the frame's own values instead. Pixel
    padding is black, non-square pixels become square. Of a multi-frame object only
    these frames are decoded, and of a native or indexed one only they are read; the
    limits hold for one frame of it. heads: what remembers the
    header of one when more of its frames will be asked for. Raises UnsupportedPixels.
    """
    for stored in _stored(file, frames, limits, heads or Heads()):
        yield windowed(stored, windows, percentiles=percentiles)


def windowed(
    stored: Stored, windows: Windows, *, percentiles: bool = False
) -> NDArray[np.uint8]:
    """uint8 (windows, rows, columns) of one decoded frame."""
    if not windows:
        grey = np.rint(shown(stored) * np.float32(255))
        return np.asarray(grey, np.uint8)[None]
    if not stored.is_grey:
        raise UnsupportedPixels("a colour image has no window: send the slices in grey")
    if percentiles:
        windows = _of_percentiles(stored, windows)
    if is_tabled(stored):
        planes = _looked_up(stored, windows)
    else:
        frame = stored.modality()
        planes = np.stack([_eight_bit(frame.values, one) for one in windows])
        planes[:, frame.padding] = 0
    if square(planes[0].astype(np.float32), stored.header).shape == planes[0].shape:
        return planes
    stretched = (square(one.astype(np.float32), stored.header) for one in planes)
    return np.stack([np.rint(one).astype(np.uint8) for one in stretched])


def _of_percentiles(stored: Stored, percentiles: Windows) -> Windows:
    """(low, high) percentiles of a frame, pixel padding left out -> windows."""
    frame = stored.modality()
    values = frame.values[~frame.padding]
    if not values.size:
        return [(0.0, 1.0) for _ in percentiles]
    ends = [np.percentile(values, one) for one in percentiles]
    return [(float(a + b) / 2, max(float(b - a), _NARROWEST)) for a, b in ends]


def _looked_up(stored: Stored, windows: Windows) -> NDArray[np.uint8]:
    kind = stored.values.dtype
    codes = stored.values.view(f"u{kind.itemsize}")
    every = np.arange(1 << (8 * kind.itemsize)).astype(codes.dtype).view(kind)
    table = stored.of(every).modality()
    found = np.empty((len(windows), *codes.shape), np.uint8)
    step = max(1, _AT_ONCE // codes.shape[1])
    for plane, window in zip(found, windows, strict=True):
        greys = _eight_bit(table.values, window)
        greys[table.padding] = 0
        for first in range(0, len(codes), step):
            some = slice(first, first + step)
            np.take(greys, codes[some], out=plane[some], mode="clip")
    return found


def _eight_bit(
    values: NDArray[np.float32], window: tuple[float, float]
) -> NDArray[np.uint8]:
    centre, width = window
    share = (values - np.float32(centre)) / np.float32(width) + np.float32(0.5)
    share = np.nan_to_num(share, nan=0.0, posinf=1.0, neginf=0.0)
    return np.asarray(np.rint(np.clip(share, 0, 1) * 255), np.uint8)


def _stored(
    file: BinaryIO, frames: Sequence[int], limits: Limits, heads: Heads
) -> Iterator[Stored]:
    head = _head(file, heads)
    if head is None or int(head.get("NumberOfFrames") or 1) == 1:
        ds = read(file, most_bytes=limits.bytes)
        yield from (stored_frame(ds, frame, limits) for frame in frames)
        return
    n_frames = int(head.NumberOfFrames)
    if not all(0 <= frame < n_frames for frame in frames):
        raise UnsupportedPixels(f"it has {n_frames} frames, others were asked for")
    head.PixelData = b""  # so that the layout knows that there are pixels
    layout = layout_of(head, FrameHeader(head, 0))
    n_pixels = layout.rows * layout.columns * layout.samples
    if n_pixels > limits.pixels or n_pixels * layout.allocated // 8 > limits.bytes:
        raise UnsupportedPixels(
            f"a frame of {n_pixels} pixel samples is more than the limit: raise it"
        )
    values = _decoded(file, frames, transfer_syntax(head), decoding_options(layout))
    for frame, found in zip(frames, values, strict=True):
        yield Stored(head, FrameHeader(head, frame), layout, found)


def _head(file: BinaryIO, heads: Heads) -> FileDataset | None:
    """All before the pixels; None for what `read` must look at as a whole.

    pydicom inflates a deflated object wholly before it knows what it is. An object of
    one frame would only be read twice.
    """
    try:
        file.seek(0)
        meta = file_meta(file)
        if is_deflated(meta) or meta.get("MediaStorageSOPClassUID") in _OF_ONE_FRAME:
            return None
        head = heads.read(file)
    except (*CANNOT_DECODE, InvalidDicomError):
        return None
    finally:
        file.seek(0)
    return head if transfer_syntax(head) is not None else None


def _decoded(
    file: BinaryIO, frames: Sequence[int], syntax: UID | None, options: dict[str, Any]
) -> Iterator[NDArray[np.generic]]:
    try:
        yield from decoded_frames(file, frames, syntax, options)
    except MemoryError as error:
        raise UnsupportedPixels(
            "decoding takes more memory than is allowed: the object is damaged"
        ) from error
    except CANNOT_DECODE as error:
        raise UnsupportedPixels(
            f"a frame cannot be decoded ({type(error).__name__}): the object is damaged"
            " or this compression is not installed"
        ) from error
