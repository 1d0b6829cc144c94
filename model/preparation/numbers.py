"""A few numbers of the grey values, by which the domain gate knows strangers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLACK, _WHITE = 0.02, 0.98
STATISTICS = ("mean", "deviation", "black share", "white share", "gradient")


def statistics(image: NDArray[np.float32]) -> list[float]:
    """Mean, deviation, black and white shares and mean gradient of display pixels.

    Of (channels, rows, columns), those of the middle channel.
    """
    if image.ndim > 2:  # noqa: PLR2004 - a stack
        image = image[len(image) // 2]
    step = max(1, min(image.shape) // 256)
    grey = np.asarray(image[::step, ::step], np.float64)
    gradient = np.abs(np.diff(grey, axis=0)).mean() if grey.shape[0] > 1 else 0.0
    return [
        float(grey.mean()),
        float(grey.std()),
        float((grey < _BLACK).mean()),
        float((grey > _WHITE).mean()),
        float(gradient),
    ]
