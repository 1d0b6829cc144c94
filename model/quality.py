"""Image quality that needs no network: numbers of the display pixels and the header.

Everything but clipping and the shape is measured on a copy whose longer side has 160
pixels, so that a detector's resolution does not decide. The centre is the inner 60 % of
rows and columns: markers, collimation and air lie outside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from pydicom import Dataset

    Plane = NDArray[np.float32]

SIDE = 160
MEASURES = ("median", "contrast", "clipped", "sharpness", "border", "aspect")
_MARGIN = 0.2
_BLACK, _WHITE = 0.002, 0.998
_RANGE = (5, 95)
_FLAT = 0.03
_MOST_SAMPLED = 1024


def measure(display: Plane) -> dict[str, float]:
    """What is measured of display pixels (rows, columns) in [0, 1], by name.

    median: grey value of the centre (too dark, too bright). contrast: 5th to 95th
    percentile of the centre. clipped: share of the centre that is black or white
    altogether. sharpness: mean absolute Laplacian of the centre, as a multiple of its
    deviation; only coarse blur lowers it. border: share of the area in rows and columns
    at the sides that hold nothing. aspect: rows by columns.
    """
    small = reduced(display)
    centre = _centre(small)
    low, middle, high = np.percentile(centre, (_RANGE[0], 50, _RANGE[1]))
    return {
        "median": float(middle),
        "contrast": float(high - low),
        "clipped": _clipped(display),
        "sharpness": _sharpness(centre),
        "border": _border(small),
        "aspect": display.shape[0] / display.shape[1],
    }


def reduced(display: Plane) -> Plane:
    """Averaged down until the longer side has 160 pixels; a smaller one stays."""
    rows, columns = display.shape
    scale = SIDE / max(rows, columns)
    if scale >= 1:
        return display
    size = (max(1, round(columns * scale)), max(1, round(rows * scale)))
    picture = Image.fromarray(_in_blocks(display, int(1 / (2 * scale))))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)


def _in_blocks(plane: Plane, side: int) -> Plane:
    """Means of whole blocks: most of the way down, where Pillow would copy it all."""
    rows, columns = (length // max(1, side) for length in plane.shape)
    if side <= 1 or not rows or not columns:
        return np.ascontiguousarray(plane)
    whole = plane[: rows * side, : columns * side]
    across = whole.reshape(rows, side, columns * side).mean(1)
    return np.ascontiguousarray(across.reshape(rows, columns, side).mean(2))


def headers(ds: Dataset, keywords: Iterable[str]) -> dict[str, str]:
    """First value of each attribute that is there and not empty, as text."""
    found = {}
    for keyword in keywords:
        value = ds.get(keyword)
        if isinstance(value, list | tuple) or hasattr(value, "__iter__"):
            value = next(iter(value), None) if not isinstance(value, str) else value
        if value is not None and str(value).strip():
            found[keyword] = str(value).strip()
    return found


def _centre(plane: Plane) -> Plane:
    rows, columns = (round(side * _MARGIN) for side in plane.shape)
    return plane[rows : plane.shape[0] - rows, columns : plane.shape[1] - columns]


def _clipped(display: Plane) -> float:
    step = max(1, min(display.shape) // _MOST_SAMPLED)
    centre = _centre(display[::step, ::step])
    return float(np.mean((centre <= _BLACK) | (centre >= _WHITE)))


def _sharpness(centre: Plane) -> float:
    if min(centre.shape) < 3 or centre.std() == 0:  # noqa: PLR2004 - a Laplacian is 3 wide
        return 0.0
    around = centre[:-2, 1:-1] + centre[2:, 1:-1] + centre[1:-1, :-2] + centre[1:-1, 2:]
    laplacian = np.abs(4 * centre[1:-1, 1:-1] - around)
    return float(laplacian.mean() / centre.std())


def _border(plane: Plane) -> float:
    rows, columns = plane.shape
    kept = _kept(plane) * _kept(plane.T)
    return 1 - kept / float(rows * columns)


def _kept(lines: Plane) -> int:
    """Lines that are left between the empty ones of either end."""
    low, high = np.percentile(lines, _RANGE, axis=1)
    busy = np.flatnonzero(high - low >= _FLAT)
    return int(busy[-1] - busy[0] + 1) if busy.size else 0
