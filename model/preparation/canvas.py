"""The canvas: where an image lies on it, and its standardised values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from model.preparation.grey import check, normalised

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

MIDDLE, SCALE = 0.5, 0.25
SMALLEST_DEVIATION = 1e-3
_SMALLEST_SIDE = 16


class Box(NamedTuple):
    """Where the image lies on the canvas, in canvas pixels."""

    top: int
    left: int
    rows: int
    columns: int


def letterbox_box(rows: int, columns: int, size: int) -> Box:
    """The centred box an image of (rows, columns) fills on a square of size pixels."""
    scale = size / max(rows, columns)
    box_rows = max(1, min(size, round(rows * scale)))
    box_columns = max(1, min(size, round(columns * scale)))
    return Box((size - box_rows) // 2, (size - box_columns) // 2, box_rows, box_columns)


@dataclass(frozen=True)
class Preparation:
    """What is done to display pixels; fields as of `model.transforms.EvalPreset`."""

    size: int
    border: float
    normalise: str = "standardise"

    def __post_init__(self) -> None:
        if self.size < _SMALLEST_SIDE or not 0 <= self.border < 0.5:  # noqa: PLR2004
            raise ValueError(
                "a preset needs size >= 16 and 0 <= border < 0.5: correct the recipe"
            )
        check(self.normalise)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the canvas of a plane."""
        return 1, self.size, self.size

    def __call__(self, image: Plane) -> Plane:
        """Display pixels (rows, columns) in [0, 1] -> float32 (1, N, N).

        Of (channels, rows, columns), as a stack of slices is: (channels, N, N).
        """
        planes = image if image.ndim > 2 else image[np.newaxis]  # noqa: PLR2004
        rows, columns = planes.shape[-2:]
        box = letterbox_box(rows, columns, self.size)
        mask = self._mask(box)
        return np.stack([self._canvas(one, box, mask) for one in planes])

    def _canvas(self, plane: Plane, box: Box, mask: Plane) -> Plane:
        grey = normalised(np.ascontiguousarray(plane, np.float32), self.normalise)
        canvas = np.zeros((self.size, self.size), np.float32)
        canvas[_inside(box)] = _resized(grey, box)
        if self.normalise == "fixed":
            return (canvas - np.float32(MIDDLE)) / np.float32(SCALE) * mask
        return _standardised(canvas, mask)

    def _mask(self, box: Box) -> Plane:
        """1 where the image lies and its border does not."""
        inside = np.zeros((box.rows, box.columns), np.float32)
        top, left = round(self.border * box.rows), round(self.border * box.columns)
        inside[top : box.rows - top, left : box.columns - left] = 1
        mask = np.zeros((self.size, self.size), np.float32)
        mask[_inside(box)] = inside
        return mask


def _inside(box: Box) -> tuple[slice, slice]:
    return (
        slice(box.top, box.top + box.rows),
        slice(box.left, box.left + box.columns),
    )


def _resized(grey: Plane, box: Box) -> Plane:
    """Bilinear, averaging what it shrinks, as torch's with ``antialias`` does."""
    picture = Image.fromarray(grey)
    wanted = picture.resize((box.columns, box.rows), Image.Resampling.BILINEAR)
    return np.asarray(wanted, np.float32)


def _standardised(canvas: Plane, mask: Plane) -> Plane:
    """Mean 0, deviation 1 over mask == 1; 0 elsewhere. A constant image: zero."""
    n_pixels = max(np.float32(1), mask.sum())
    centred = (canvas - (canvas * mask).sum() / n_pixels) * mask
    deviation = np.sqrt(np.square(centred).sum() / n_pixels)
    return np.asarray(centred / max(deviation, np.float32(SMALLEST_DEVIATION)))
