"""Dataset -> float32 pixels: the one decode path of training and service.

`modality_pixels` gives the numbers of the modality (Hounsfield units and the like),
`display_pixels` what a calibrated screen would show, black 0 and white 1, in square
pixels. Neither guesses: what cannot be read rightly is refused by
`UnsupportedPixels`, whose message ends with the reason or remedy. No torch here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.pixels.decode import stored_frame
from model.pixels.display import shown
from model.pixels.errors import UnsupportedPixels
from model.pixels.frames import windowed_frames
from model.pixels.heads import Heads
from model.pixels.layout import MOST_BYTES, MOST_PIXELS, Limits
from model.pixels.reading import read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydicom import Dataset

__all__ = [
    "MOST_BYTES",
    "MOST_PIXELS",
    "Heads",
    "Limits",
    "UnsupportedPixels",
    "display_pixels",
    "modality_pixels",
    "read",
    "windowed_frames",
]


def modality_pixels(
    ds: Dataset,
    frame: int = 0,
    *,
    most_pixels: int = MOST_PIXELS,
    most_bytes: int = MOST_BYTES,
) -> NDArray[np.float32]:
    """Pixels after the Modality LUT or Rescale, float32 (rows, columns).

    ds: a dataset with its file meta information. frame: from 0. most_pixels: rows x
    columns x frames x samples that may be decoded; most_bytes: the same in decoded
    bytes. Colour becomes luminance. Pixel padding is left as it is. Raises
    UnsupportedPixels.
    """
    stored = stored_frame(ds, frame, Limits(most_pixels, most_bytes))
    return stored.modality().values


def display_pixels(
    ds: Dataset,
    frame: int = 0,
    *,
    most_pixels: int = MOST_PIXELS,
    most_bytes: int = MOST_BYTES,
) -> NDArray[np.float32]:
    """Pixels as displayed, float32 (rows, columns) in [0, 1], 1 is white.

    VOI LUT Sequence before window, the first of several; without either the range of
    the valid pixels. MONOCHROME1 and Presentation LUT Shape INVERSE are turned, pixel
    padding is black, non-square pixels are resampled to square ones (so rows or
    columns may grow). Raises UnsupportedPixels. Limits as in `modality_pixels`.
    """
    return shown(stored_frame(ds, frame, Limits(most_pixels, most_bytes)))
