"""The last step of both presets on tensors; the grey values are `model.preparation`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.preparation.canvas import MIDDLE, SCALE, SMALLEST_DEVIATION

if TYPE_CHECKING:
    from torch import Tensor


def finished(canvas: Tensor, mask: Tensor, name: str) -> Tensor:
    """The last step of both presets. canvas: (batch, channels, N, N), each channel by
    itself; mask: (batch, 1, N, N).
    """
    if name == "fixed":
        return (canvas - MIDDLE) / SCALE * mask
    batch, channels, *side = canvas.shape
    planes = canvas.reshape(batch * channels, 1, *side)
    masks = mask.expand(batch, channels, *side).reshape(planes.shape)
    return standardise(planes, masks).reshape(canvas.shape)


def standardise(canvas: Tensor, mask: Tensor) -> Tensor:
    """Mean 0, deviation 1 over mask == 1 of each image; 0 elsewhere.

    canvas, mask: (batch, 1, N, N). A constant image becomes zero (to rounding).
    """
    n_pixels = mask.sum((1, 2, 3), keepdim=True).clamp(min=1)
    mean = (canvas * mask).sum((1, 2, 3), keepdim=True) / n_pixels
    centred = (canvas - mean) * mask
    variance = centred.square().sum((1, 2, 3), keepdim=True) / n_pixels
    return centred / variance.sqrt().clamp(min=SMALLEST_DEVIATION)
