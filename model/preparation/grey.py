"""Grey values: histogram equalisation, CLAHE or nothing, then standardisation.

Which one is written in the bundle (`normalise` of the preset): a model trained on
equalised images (MIMIC-CXR-JPG) must see equalised images in service.

    standardise   nothing but the standardisation that all end with
    equalise      histogram equalisation of the image in 256 grey values
    clahe         contrast-limited adaptive equalisation, 8 x 8 tiles, clip limit 2
    fixed         none, and no standardisation: a grey value means the same in every
                  image, as the windows of a CT bundle make it

The equalisations are those of OpenCV, to the bit, in numpy; OpenCV does them where it
is installed (extra `opencv`).
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

NORMALISATIONS = ("standardise", "equalise", "clahe", "fixed")
_UNEQUALISED = ("standardise", "fixed")
_GREYS = 256
_TILES, _CLIP = 8, 2.0


def check(name: str) -> None:
    """Raise ValueError when there is no such normalisation."""
    if name not in NORMALISATIONS:
        raise ValueError(
            f"normalise {name!r} is unknown: use one of {', '.join(NORMALISATIONS)}"
        )


def normalised(image: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Display pixels (rows, columns) in [0, 1] -> the same, with other grey values."""
    if name in _UNEQUALISED:
        return image
    eight_bit = np.rint(image * 255).astype(np.uint8)
    return equalised(eight_bit, name).astype(np.float32) / np.float32(255)


def equalised(image: Bytes, name: str) -> Bytes:
    """uint8 (rows, columns) -> uint8; name: equalise or clahe."""
    opencv = _opencv()
    if opencv is None:
        return equalise(image) if name == "equalise" else clahe(image)
    if name == "equalise":
        return np.asarray(opencv.equalizeHist(image))
    made = opencv.createCLAHE(clipLimit=_CLIP, tileGridSize=(_TILES, _TILES))
    return np.asarray(made.apply(image))


def equalise(image: Bytes) -> Bytes:
    """Histogram equalisation: grey value -> 255 x share of darker pixels, where the
    darkest grey value present does not count.
    """
    counts = np.bincount(image.ravel(), minlength=_GREYS)
    darkest = int(np.flatnonzero(counts)[0])
    if counts[darkest] == image.size:
        return image.copy()
    scale = np.float32(255) / np.float32(image.size - counts[darkest])
    above = np.cumsum(counts) - np.cumsum(counts)[darkest]
    table = np.rint(above.astype(np.float32) * scale).clip(0, 255).astype(np.uint8)
    return np.asarray(table[image])


def clahe(image: Bytes) -> Bytes:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994).

    Each of 8 x 8 tiles has its own clipped equalisation; a pixel takes the mean of the
    four nearest, weighted by its distance.
    """
    rows, columns = image.shape
    padded = _to_whole_tiles(image)
    high, wide = padded.shape[0] // _TILES, padded.shape[1] // _TILES
    tiles = padded.reshape(_TILES, high, _TILES, wide).swapaxes(1, 2)
    flat = tiles.reshape(_TILES * _TILES, high * wide)
    tables = np.stack([_tile_table(tile) for tile in flat])
    tables = tables.reshape(_TILES, _TILES, _GREYS)
    top, bottom, down = _neighbours(rows, high)
    left, right, across = _neighbours(columns, wide)
    down, across = down[:, None], across[None, :]
    one = np.float32(1)

    def at(tile_rows: NDArray[np.int64], tile_columns: NDArray[np.int64]) -> Any:
        chosen = tables[tile_rows[:, None], tile_columns[None, :], image]
        return chosen.astype(np.float32)

    upper = at(top, left) * (one - across) + at(top, right) * across
    lower = at(bottom, left) * (one - across) + at(bottom, right) * across
    mixed = upper * (one - down) + lower * down
    return np.asarray(np.rint(mixed).clip(0, 255), np.uint8)


def _to_whole_tiles(image: Bytes) -> Bytes:
    """Mirrored at the lower and right edge until 8 tiles fit; when one side needs it,
    the other gets a whole tile's worth too, as in OpenCV.
    """
    rows, columns = image.shape
    if rows % _TILES == 0 and columns % _TILES == 0:
        return image
    missing = ((0, _TILES - rows % _TILES), (0, _TILES - columns % _TILES))
    return np.pad(image, missing, mode="reflect")


def _tile_table(tile: Bytes) -> Bytes:
    """Equalisation table of one tile, its histogram clipped and the excess spread."""
    counts = np.bincount(tile, minlength=_GREYS)
    limit = max(1, int(_CLIP * tile.size / _GREYS))
    excess = int((counts - limit).clip(min=0).sum())
    counts = counts.clip(max=limit) + excess // _GREYS
    rest = excess % _GREYS
    if rest:
        step = max(1, _GREYS // rest)
        counts[: step * rest : step][:rest] += 1
    scale = np.float32(_GREYS - 1) / np.float32(tile.size)
    table = np.rint(np.cumsum(counts).astype(np.float32) * scale)
    return np.asarray(table.clip(0, 255), np.uint8)


def _neighbours(
    n: int, tile: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Tiles before and after each pixel of one side, and the share of the latter."""
    place = np.arange(n, dtype=np.float32) * (np.float32(1) / np.float32(tile))
    place = place - np.float32(0.5)
    before = np.floor(place).astype(np.int64)
    share = place - before.astype(np.float32)
    after = np.minimum(before + 1, _TILES - 1)
    return np.maximum(before, 0), after, share.astype(np.float32)


@cache
def _opencv() -> Any:
    """The module, or None where it is not installed."""
    if importlib.util.find_spec("cv2") is None:
        return None
    return importlib.import_module("cv2")


def is_equalised(name: str) -> bool:
    """Whether this normalisation changes the grey values before the geometry."""
    return name not in _UNEQUALISED
