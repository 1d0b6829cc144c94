"""A picture of the image as displayed, as large as it fits in a box."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from PIL import Image

from dicomnode.domain.findings import BoxSize, Pixels8

Views: TypeAlias = Mapping[BoxSize, Pixels8]

_GAP = 2.0
"""Pillow averages whole pixels until the image is so many times the wanted size, then
resamples: on a radiograph several times faster, to the eye the same.
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """Display pixels, uint8 (rows, columns), and what was made of them beforehand."""

    display: Pixels8
    views: Views = field(default_factory=dict)

    def fitted(self, box: BoxSize) -> Pixels8:
        """As large as it fits in ``box``, made of what is nearest to that."""
        made = self.views.get(box)
        if made is not None:
            return made
        size = fitting(self.display.shape, box)
        return _resized(self._nearest(size), size)

    def _nearest(self, size: BoxSize) -> Pixels8:
        """The smallest of what there is that need not grow to ``size``."""
        columns, rows = size
        enough = [
            one
            for one in (*self.views.values(), self.display)
            if one.shape[0] >= rows and one.shape[1] >= columns
        ]
        return min(enough, key=lambda one: one.size, default=self.display)


def fit(display: Pixels8, box: BoxSize) -> Pixels8:
    """``display`` as large as it fits in ``box``, its shape kept."""
    return _resized(display, fitting(display.shape, box))


def _resized(pixels: Pixels8, size: BoxSize) -> Pixels8:
    shrinks = size[0] < pixels.shape[1]
    # Of the filters that average what they shrink, the one with the narrowest window:
    # a third of the time of a Lanczos, and half a grey value from it on a radiograph.
    method = Image.Resampling.HAMMING if shrinks else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(pixels).resize(size, method, reducing_gap=_GAP))


def fitting(shape: tuple[int, int], box: BoxSize) -> BoxSize:
    """(columns, rows) that an image of (rows, columns) has in ``box``."""
    rows, columns = shape
    scale = min(box[0] / columns, box[1] / rows)
    return max(1, round(columns * scale)), max(1, round(rows * scale))


def views(display: Pixels8, boxes: Iterable[BoxSize]) -> dict[BoxSize, Pixels8]:
    """``display`` in each of ``boxes``."""
    return {box: fit(display, box) for box in boxes}
