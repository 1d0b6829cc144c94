"""A class activation map over the image it explains."""

from __future__ import annotations

import sys
from functools import cache
from math import ceil, floor
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dicomnode.domain.findings import Map32, Pixels8

Rgb8: TypeAlias = NDArray[np.uint8]
"""uint8 (rows, columns, 3)."""

Anchors: TypeAlias = tuple[tuple[int, int, int], ...]

# Lightness grows steadily from first to last, so that the order of the colours can be
# seen in greyscale and by people who cannot tell red from green.
HEAT: Anchors = (
    (38, 12, 82),
    (118, 26, 110),
    (196, 58, 76),
    (243, 128, 26),
    (252, 214, 72),
    (255, 240, 132),
)
# For a map of something that was not found: cold, and fainter.
COLD: Anchors = ((24, 38, 62), (58, 92, 132), (112, 152, 186), (196, 222, 238))
_ALPHA = {HEAT: 0.62, COLD: 0.45}
# Activation below the first is not drawn, above the second it is drawn in full.
_SHOWN_FROM, _SHOWN_FULLY = 0.15, 0.75
_STEPS, _GREYS = 256, 256
# Of the two bytes of a place in the table of what is mixed.
_GREY, _STEP = (0, 1) if sys.byteorder == "little" else (1, 0)
_AT_ONCE = 1 << 16  # pixels, so that what is mixed stays in the cache


def colours(activation: Map32, anchors: Anchors) -> NDArray[np.float32]:
    """Colour of each activation (0 to 1): float32 (..., 3), 0 to 255."""
    places = np.linspace(0.0, 1.0, len(anchors))
    channels = [
        np.interp(activation, places, [anchor[one] for anchor in anchors])
        for one in range(3)
    ]
    return np.stack(channels, axis=-1).astype(np.float32)


def opacity(activation: Map32, anchors: Anchors) -> NDArray[np.float32]:
    """How much of the colour shows: 0 for low activation, growing smoothly."""
    share = np.clip((activation - _SHOWN_FROM) / (_SHOWN_FULLY - _SHOWN_FROM), 0, 1)
    smooth = share * share * (3.0 - 2.0 * share)
    return np.asarray(_ALPHA[anchors] * smooth, dtype=np.float32)


@cache
def _mixed(anchors: Anchors) -> NDArray[np.uint32]:
    """The colour, as four bytes, of every step of activation over every grey value."""
    steps = np.linspace(0.0, 1.0, _STEPS, dtype=np.float32)
    alpha = opacity(steps, anchors)[:, np.newaxis, np.newaxis]
    added = colours(steps, anchors)[:, np.newaxis] * alpha
    greys = np.arange(_GREYS, dtype=np.uint8)[:, np.newaxis]
    mixed = np.zeros((_STEPS, _GREYS, 4), np.uint8)
    mixed[..., :3] = np.rint(added + greys * (1.0 - alpha))
    return mixed.view(np.uint32).ravel()


def plain(display: Pixels8, page: Rgb8) -> None:
    """Draw ``display`` (rows, columns) in ``page`` (rows, columns, 3)."""
    for channel in range(3):  # one after the other is five times as quick
        page[..., channel] = display


def draw(colours: NDArray[np.uint32], page: Rgb8) -> None:
    """Draw colours as four bytes, (rows, columns), in ``page`` (rows, columns, 3)."""
    channels = colours.view(np.uint8).reshape(*colours.shape, 4)
    for channel in range(3):
        page[..., channel] = channels[..., channel]


def overlay(
    display: Pixels8, activation_map: Map32, anchors: Anchors, page: Rgb8
) -> None:
    """Draw ``display`` (rows, columns) with the map on it in ``page``."""
    rows, columns = display.shape
    # A map that is no number hides nothing.
    known = np.nan_to_num(np.asarray(activation_map, dtype=np.float32))
    cells, lit = _widened(known, columns), np.abs(known) > _FAINT
    at_once = max(1, _AT_ONCE // columns)
    for first in range(0, rows, at_once):
        some = slice(first, min(rows, first + at_once))
        seen = _reached(some, rows, lit, columns)
        for bare in (slice(0, seen.start), slice(seen.stop, columns)):
            plain(display[some, bare], page[some, bare])
        if seen.start < seen.stop:
            steps = _spread(cells, some, rows, seen)
            draw(_mix(display[some, seen], steps, anchors), page[some, seen])


def _mix(grey: Pixels8, steps: Pixels8, anchors: Anchors) -> NDArray[np.uint32]:
    """What each step of activation over each grey value looks like, as four bytes."""
    places = np.empty((*grey.shape, 2), np.uint8)
    places[..., _GREY], places[..., _STEP] = grey, steps
    return np.take(_mixed(anchors), places.view(np.uint16)[..., 0], mode="clip")


def _reached(some: slice, rows: int, lit: NDArray[np.bool_], columns: int) -> slice:
    """The columns of the image that lit cells reach in ``some`` of its rows."""
    near, across = _cells(some, rows, lit.shape[0]), lit.shape[1] / columns
    found = np.flatnonzero(lit[near].any(axis=0))
    if not found.size:
        return slice(columns, columns)
    margin = _margin(across)
    left = max(0, floor((found[0] - margin) / across))
    return slice(left, min(columns, ceil((found[-1] + 1 + margin) / across)))


def _cells(some: slice, rows: int, n_cells: int) -> slice:
    """The rows of cells that have a share in ``some`` of the rows of the image."""
    along = n_cells / rows
    margin = _margin(along)
    first = max(0, floor(some.start * along) - margin)
    return slice(first, min(n_cells, ceil(some.stop * along) + margin))


def _margin(cells_per_pixel: float) -> int:
    """How many cells away from a pixel a cell may have a share in it, and one more."""
    return ceil(2 * max(1.0, cells_per_pixel)) + 1


# Exact at the centre of each cell, and without the diamonds of a bilinear spread.
_SPREAD = Image.Resampling.BICUBIC
_FAINT = _SHOWN_FROM / 1.7
"""Cells of no more, spread, are nowhere drawn: a spread adds at most 1.25 ** 2."""


def _widened(known: Map32, columns: int) -> Image.Image:
    """The map with as many columns as the image, in steps and half a step more.

    Its edges are the image's edges.
    """
    steps = known * np.float32(_STEPS - 1) + np.float32(0.5)
    return Image.fromarray(steps).resize((columns, len(steps)), _SPREAD)


def _spread(cells: Image.Image, some: slice, rows: int, seen: slice) -> Pixels8:
    """The steps in ``some`` of the ``rows`` of the image, and the ``seen`` columns.

    cells: a map as wide as the image.
    """
    near, along = _cells(some, rows, cells.height), cells.height / rows
    taken = cells.crop((seen.start, near.start, seen.stop, near.stop))
    top, bottom = (one * along - near.start for one in (some.start, some.stop))
    size, box = (taken.width, some.stop - some.start), (0.0, top, taken.width, bottom)
    return np.asarray(taken.resize(size, _SPREAD, box).convert("L"))  # rounded down


def colour_bar(page: Rgb8, anchors: Anchors) -> None:
    """Draw a horizontal bar, low to high, as the colours look over a mid grey."""
    thickness, length, _ = page.shape
    ramp = np.linspace(0.0, 1.0, length, dtype=np.float32)[np.newaxis, :]
    grey = np.full((thickness, length), 72, dtype=np.uint8)
    overlay(grey, np.repeat(ramp, thickness, axis=0), anchors, page)
