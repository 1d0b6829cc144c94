"""What service and evaluation do to an image, and the way back for its maps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from model.preparation import Box, Preparation, letterbox_box
from model.transforms.normalise import finished

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

PRESET_VERSION = 1


@dataclass(frozen=True)
class EvalPreset:
    """What service and evaluation do; stored in the bundle.

    size: side of the canvas in pixels. border: fraction of each side that is blanked,
    because the view is often written there. normalise: what is done to the grey values
    first, see `model.preparation.grey`.
    """

    size: int = 128
    border: float = 0.0
    version: int = PRESET_VERSION
    normalise: str = "standardise"

    def __post_init__(self) -> None:
        if self.version != PRESET_VERSION:
            raise ValueError(
                f"preset version {self.version} is unknown: use version"
                f" {PRESET_VERSION} or a newer program"
            )
        Preparation(self.size, self.border, self.normalise)

    def __call__(self, image: NDArray[np.float32]) -> Tensor:
        """Display pixels (rows, columns) in [0, 1] -> float32 tensor (1, N, N).

        Of (channels, rows, columns), as a stack of slices is: (channels, N, N).
        """
        return torch.from_numpy(self.preparation(image))

    @property
    def preparation(self) -> Preparation:
        """The same without torch."""
        return Preparation(self.size, self.border, self.normalise)

    def of(self, pixels: Tensor) -> Tensor:
        """As the call (to 1e-4), of a tensor (rows, columns) or (channels, rows,
        columns) whose grey values are normalised; gradients pass through it.
        """
        channels = pixels.reshape(-1, *pixels.shape[-2:])
        box = letterbox_box(pixels.shape[-2], pixels.shape[-1], self.size)
        small = interpolate(
            channels[None],
            size=(box.rows, box.columns),
            mode="bilinear",
            antialias=True,
            align_corners=False,
        )
        canvas = torch.zeros(1, len(channels), self.size, self.size)
        mask = torch.zeros(1, 1, self.size, self.size)
        rows = slice(box.top, box.top + box.rows)
        columns = slice(box.left, box.left + box.columns)
        canvas[..., rows, columns] = small
        mask[..., rows, columns] = _border_mask(box, self.border)
        return finished(canvas, mask, self.normalise)[0]

    def box(self, image: NDArray[Any]) -> Box:
        """Where this image lies on the canvas."""
        return letterbox_box(image.shape[-2], image.shape[-1], self.size)

    def to_source(self, plane: Tensor, box: Box) -> NDArray[np.float32]:
        """Inverse geometry: a map over the canvas -> (..., box rows, box columns).

        plane: (..., N, N) of the canvas, or (..., n, n) as a network makes of it by
        halving sides and rounding up, so that the last pixels may lie beyond it. The
        result covers exactly the source image: padding removed, the caller resizes it
        to any size.
        """
        before, side = plane.shape[:-2], plane.shape[-2:]
        covered = _covered(side[-1], self.size)
        full = interpolate(
            plane.float().reshape(1, -1, *side),
            size=(covered, covered),
            mode="bilinear",
            align_corners=False,
        )
        rows = slice(box.top, box.top + box.rows)
        columns = slice(box.left, box.left + box.columns)
        found = full[0, :, rows, columns].reshape(*before, box.rows, box.columns)
        return np.asarray(found.contiguous().numpy(), np.float32)

    def to_dict(self) -> dict[str, int | float | str]:
        """As stored in the bundle. The usual normalisation is not written, so that a
        program of before there was another still reads the bundle.
        """
        stored: dict[str, int | float | str] = asdict(self)
        if self.normalise == "standardise":
            del stored["normalise"]
        return stored

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> EvalPreset:
        """The preset a bundle was made with; ValueError when it is not ours."""
        full = {"normalise": "standardise"} | stored
        if set(full) != {"size", "border", "version", "normalise"}:
            raise ValueError(
                f"a preset has size, border, version and normalise, not"
                f" {sorted(stored)}: install a bundle made for this version"
            )
        return cls(
            int(full["size"]), float(full["border"]), full["version"], full["normalise"]
        )


def _covered(n_pixels: int, size: int) -> int:
    """Pixels of a canvas of ``size``, and beyond it, under so many of a map."""
    each = 1
    while -(-size // each) > n_pixels:
        each *= 2
    return n_pixels * each if -(-size // each) == n_pixels else size


def _border_mask(box: Box, border: float) -> Tensor:
    mask = torch.zeros(box.rows, box.columns)
    top, left = round(border * box.rows), round(border * box.columns)
    mask[top : box.rows - top, left : box.columns - left] = 1
    return mask
