"""One file to display pixels: what a decoder process does with each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.domain.findings import Pixels8
from model import pixels, quality

Display: TypeAlias = NDArray[np.float32]

STATION = ("Manufacturer", "StationName")
_STATION_LENGTH = 64
_AT_ONCE = 1 << 16  # pixels, so that what is converted stays in the cache


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image as displayed, and the machine that made it.

    ``display`` is float32 (rows, columns) in [0, 1], ``eight_bit`` the same in 0 to
    255; ``header`` the attributes that were asked for, as text.
    """

    display: Display
    eight_bit: Pixels8
    station: str
    header: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Why an image cannot be decoded, in plain words, with the remedy."""

    reason: str


def decode(
    file: BinaryIO, max_pixels: int, keywords: Sequence[str] = ()
) -> Decoded | Undecodable:
    """Read and decode the first frame of a DICOM file, and the attributes wanted."""
    try:
        ds = pixels.read(file, most_bytes=2 * max_pixels)
        display = pixels.display_pixels(
            ds, most_pixels=max_pixels, most_bytes=2 * max_pixels
        )
        header = quality.headers(ds, keywords)
        return Decoded(display, to_8_bit(display), station_of(ds), header)
    except pixels.UnsupportedPixels as error:
        return Undecodable(str(error))
    except MemoryError:
        return Undecodable(
            "decoding takes more memory than worker.decode_memory_bytes allows: the "
            "object is damaged, or raise that limit"
        )


def to_8_bit(display: Display) -> Pixels8:
    """Display pixels in [0, 1] -> 0 to 255, rounded."""
    found = np.empty(display.shape, np.uint8)
    step = max(1, _AT_ONCE // max(1, display.shape[1]))
    for first in range(0, len(display), step):
        some = slice(first, first + step)
        found[some] = np.rint(display[some] * np.float32(255))
    return found


def station_of(ds: Dataset) -> str:
    """Manufacturer and Station Name: which machine, never who."""
    words = (str(ds.get(name) or "") for name in STATION)
    return " ".join(" ".join(words).split())[:_STATION_LENGTH]
