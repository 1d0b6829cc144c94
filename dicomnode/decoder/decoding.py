"""One file to display pixels: what a decoder process does with each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from dicomnode.domain.findings import BoxSize, Pixels8
from dicomnode.picture import Views, views
from model import pixels, preparation, quality
from model.preparation import Preparation

Display: TypeAlias = NDArray[np.float32]

STATION = ("Manufacturer", "StationName")
_STATION_LENGTH = 64
_AT_ONCE = 1 << 16  # pixels, so that what is converted stays in the cache


@dataclass(frozen=True, slots=True)
class ImageWanted:
    """What is to be made of an image.

    ``keywords``: attributes to read beside the pixels. ``preparation``: what a network
    is to be given instead of display pixels. ``measured``: the measures of
    `model.quality` too. ``views``: boxes to fit the picture in.
    """

    keywords: tuple[str, ...] = ()
    preparation: Preparation | None = None
    measured: bool = False
    views: tuple[BoxSize, ...] = ()

    def to_words(self) -> dict[str, Any]:
        """As it travels between processes."""
        return asdict(self)

    @classmethod
    def from_words(cls, words: Mapping[str, Any]) -> ImageWanted:
        """What `to_words` gave."""
        made = words["preparation"]
        return cls(
            tuple(words["keywords"]),
            None if made is None else Preparation(**made),
            bool(words["measured"]),
            tuple((int(width), int(height)) for width, height in words["views"]),
        )


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image as displayed, and the machine that made it.

    ``given`` is float32: display pixels (rows, columns) in [0, 1], or the canvas
    (1, N, N) of the wanted preparation, with the ``statistics`` of the display pixels.
    ``eight_bit`` are the display pixels in 0 to 255, ``views`` the same in the wanted
    boxes; ``header`` the attributes and ``measures`` the measures that were asked for.
    """

    given: Display
    eight_bit: Pixels8
    station: str
    header: Mapping[str, str] = field(default_factory=dict)
    statistics: tuple[float, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    views: Views = field(default_factory=dict)

    @property
    def display(self) -> Display:
        """The display pixels, where no preparation was wanted."""
        return self.given


@dataclass(frozen=True, slots=True)
class Undecodable:
    """Why an image cannot be decoded, in plain words, with the remedy."""

    reason: str


DISPLAY = ImageWanted()
"""Display pixels and nothing else."""


def decode(
    file: BinaryIO, max_pixels: int, wanted: ImageWanted = DISPLAY
) -> Decoded | Undecodable:
    """Read and decode the first frame of a DICOM file, and make what is wanted."""
    try:
        ds = pixels.read(file, most_bytes=2 * max_pixels)
        display = pixels.display_pixels(
            ds, most_pixels=max_pixels, most_bytes=2 * max_pixels
        )
        return _made(ds, display, wanted)
    except pixels.UnsupportedPixels as error:
        return Undecodable(str(error))
    except MemoryError:
        return Undecodable(
            "decoding takes more memory than worker.decode_memory_bytes allows: the "
            "object is damaged, or raise that limit"
        )


def _made(ds: Dataset, display: Display, wanted: ImageWanted) -> Decoded:
    # What is shown beside what is analysed: most of either is native code.
    with ThreadPoolExecutor(1, "pictures") as beside:
        showing = beside.submit(_shown, display, wanted.views)
        found = _analysed(ds, display, wanted)
        eight_bit, made = showing.result()
    return replace(found, eight_bit=eight_bit, views=made)


def _analysed(ds: Dataset, display: Display, wanted: ImageWanted) -> Decoded:
    """All but the pictures."""
    found = Decoded(
        display,
        np.empty((0, 0), np.uint8),
        station_of(ds),
        quality.headers(ds, wanted.keywords),
        measures=quality.measure(display) if wanted.measured else {},
    )
    if wanted.preparation is None:
        return found
    return replace(
        found,
        given=wanted.preparation(display),
        statistics=tuple(preparation.statistics(display)),
    )


def _shown(display: Display, boxes: Sequence[BoxSize]) -> tuple[Pixels8, Views]:
    eight_bit = to_8_bit(display)
    return eight_bit, views(eight_bit, boxes)


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
