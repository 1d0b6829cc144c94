"""What JPEG does to grey values, for a batch on any device.

Blocks of 8 x 8 pixels, discrete cosine transform, coefficients rounded to multiples of
the luminance table (ITU-T T.81, annex K.1) scaled as libjpeg scales it. The entropy
coding loses nothing and is left out.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

_SIDE = 8
_LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_MIDDLE = 50  # the quality at which the table is used as it is


def through_jpeg(planes: Tensor, quality: Tensor) -> Tensor:
    """(n, rows, columns) in [0, 1] -> the same after a round trip through JPEG.

    quality: (n,), 1 to 100, as of libjpeg.
    """
    rows, columns = planes.shape[1:]
    grey = (planes.clamp(0, 1) * 255).floor()
    spare = (0, -columns % _SIDE, 0, -rows % _SIDE)
    whole = pad(grey[:, None], spare, mode="replicate")[:, 0] if any(spare) else grey
    high, wide = (side // _SIDE for side in whole.shape[1:])
    blocks = whole.reshape(-1, high, _SIDE, wide, _SIDE).transpose(2, 3) - 128
    cosines = _cosines().to(planes.device)
    table = _table(quality)[:, None, None]
    rounded = (cosines @ blocks @ cosines.T / table).round() * table
    back = (cosines.T @ rounded @ cosines + 128).round().clamp(0, 255)
    joined = back.transpose(2, 3).reshape(whole.shape)
    return joined[:, :rows, :columns] / 255


def _table(quality: Tensor) -> Tensor:
    """(n, 8, 8): what the coefficients are rounded to multiples of."""
    q = quality.float()
    percent = torch.where(q < _MIDDLE, (5000 / q).floor(), 200 - 2 * q)
    base = torch.tensor(_LUMINANCE, dtype=torch.float32, device=quality.device)
    scaled = (base * percent[:, None, None] + 50).div(100, rounding_mode="floor")
    return scaled.clamp(1, 255)


def _cosines() -> Tensor:
    """The orthonormal transform, (frequency, place)."""
    place, frequency = torch.arange(_SIDE), torch.arange(_SIDE)[:, None]
    table = torch.cos((2 * place + 1) * frequency * math.pi / (2 * _SIDE)) / 2
    table[0] /= math.sqrt(2)
    return table
