"""A class activation map over the image it explains."""

from __future__ import annotations

from functools import cache
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


def overlay(display: Pixels8, activation_map: Map32, anchors: Anchors) -> Rgb8:
    """``display`` (rows, columns) with the map on it, uint8 (rows, columns, 3)."""
    rows, columns = display.shape
    wide = _spread(activation_map, (columns, rows))
    mixed, table = np.empty((rows, columns), np.uint32), _mixed(anchors)
    at_once = max(1, _AT_ONCE // columns)
    for first in range(0, rows, at_once):
        some = slice(first, first + at_once)
        activation = np.clip(np.nan_to_num(wide[some]), 0, 1)
        step = np.rint(activation * (_STEPS - 1)).astype(np.uint16)
        np.take(table, step * _GREYS + display[some], out=mixed[some], mode="clip")
    four = mixed.view(np.uint8).reshape(rows, columns, 4)
    picture = Image.frombuffer("RGBX", (columns, rows), four, "raw", "RGBX", 0, 1)
    return np.asarray(picture.convert("RGB"))


def _spread(activation_map: Map32, size: tuple[int, int]) -> Map32:
    """The map over (columns, rows) pixels; its edges are the image's edges."""
    image = Image.fromarray(np.asarray(activation_map, dtype=np.float32))
    # Exact at the centre of each cell, and without the diamonds of a bilinear spread.
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def colour_bar(length: int, thickness: int, anchors: Anchors) -> Rgb8:
    """A horizontal bar, low to high, as the colours look over a mid grey."""
    ramp = np.linspace(0.0, 1.0, length, dtype=np.float32)[np.newaxis, :]
    grey = np.full((thickness, length), 72, dtype=np.uint8)
    return overlay(grey, np.repeat(ramp, thickness, axis=0), anchors)
