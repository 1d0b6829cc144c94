"""Random variation of a batch in training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate, one_hot
from torchvision.transforms.v2 import functional as v2

from model.preparation.grey import check, equalised, is_equalised
from model.transforms import letters
from model.transforms.draws import Draws, column, near_edge, rectangles, strips
from model.transforms.jpeg import through_jpeg
from model.transforms.normalise import finished

if TYPE_CHECKING:
    from torch import Generator, Tensor

_COARSENESSES = 8
_ROUNDING = 1e-5


@dataclass(frozen=True)
class TrainPreset:
    """Random variation of a batch, for other hospitals' habits.

    Probabilities are per image. degrees, scale, shift, aspect (log) are half-widths
    of uniform draws; gamma and window likewise.
    """

    size: int = 128
    degrees: float = 10.0
    scale: float = 0.18
    shift: float = 0.06
    aspect: float = 0.35
    gamma: float = 0.45
    window: float = 0.15
    equalise: float = 0.12
    markers: float = 0.5
    collimation: float = 0.25
    noise: float = 0.06
    jpeg: float = 0.2
    resolution: float = 0.3
    blank: float = 0.7
    blank_most: float = 0.2
    letters: float = 0.0
    corners: float = 0.0
    corners_most: float = 0.28
    normalise: str = "standardise"

    def __post_init__(self) -> None:
        check(self.normalise)

    def __call__(
        self, images: Tensor, turns: Tensor, inverted: Tensor, random: Generator
    ) -> Tensor:
        """uint8 (batch, S, S) -> float32 (batch, 1, N, N), on the images' device.

        Stacks of slices, (batch, channels, S, S), -> (batch, channels, N, N): each
        varied as a whole; equalise and jpeg are for single planes and must be 0.

        turns: quarter turns clockwise, int64 (batch,). inverted: bool (batch,).
        random: of the CPU.
        """
        place = images.device
        draws = Draws(len(images), random, place)
        planes = self._normalised(images)
        planes = planes if planes.ndim == 4 else planes[:, None]  # noqa: PLR2004
        pixels = planes.float() / 255
        pixels = torch.where(column(inverted.to(place)), 1 - pixels, pixels)
        canvas, content = self._geometry(pixels, turns.to(place), draws)
        canvas = self._grey_values(canvas, draws)
        canvas = self._foreign_objects(canvas, draws)
        canvas = self._degrade(canvas, draws)
        blank = self._blank_borders(draws) | self._blank_corners(draws)
        return finished(canvas, content * ~blank, self.normalise)

    def _normalised(self, images: Tensor) -> Tensor:
        if not is_equalised(self.normalise):
            return images
        done = [equalised(image.numpy(), self.normalise) for image in images.cpu()]
        return torch.from_numpy(np.stack(done)).to(images.device)

    def _geometry(
        self, pixels: Tensor, turns: Tensor, draws: Draws
    ) -> tuple[Tensor, Tensor]:
        """Quarter turn, small affine and aspect in one resampling; content mask."""
        theta = _quarter_turns(turns) @ self._affine(draws)
        shape = [len(pixels), 1, self.size, self.size]
        grid = affine_grid(theta, shape, align_corners=False)
        canvas = grid_sample(pixels, grid, padding_mode="border", align_corners=False)
        content = (grid.abs().amax(-1) <= 1 + _ROUNDING).float()[:, None]
        return canvas, content

    def _affine(self, draws: Draws) -> Tensor:
        angle = draws.uniform(self.degrees) * math.pi / 180
        zoom = torch.exp(draws.uniform(self.scale))
        aspect = torch.exp(draws.uniform(self.aspect))
        # The longer side fills the canvas, as the letterbox of service has it.
        stretch_x = zoom * aspect.clamp(min=1)
        stretch_y = zoom * (1 / aspect).clamp(min=1)
        cos, sin = torch.cos(angle), torch.sin(angle)
        shift_x, shift_y = draws.uniform(self.shift), draws.uniform(self.shift)
        across = torch.stack([cos * stretch_x, -sin * stretch_x, shift_x], 1)
        down = torch.stack([sin * stretch_y, cos * stretch_y, shift_y], 1)
        return torch.stack([across, down], 1)

    def _grey_values(self, canvas: Tensor, draws: Draws) -> Tensor:
        """Window, gamma, and now and then a histogram equalisation."""
        low = column(draws.uniform(self.window))
        high = column(1 + draws.uniform(self.window))
        gamma = column(torch.exp(draws.uniform(self.gamma)))
        shown = ((canvas - low) / (high - low)).clamp(0, 1) ** gamma
        index = draws.chosen(self.equalise)
        if len(index):
            eight_bit = (shown[index] * 255).to(torch.uint8)
            shown[index] = v2.equalize(eight_bit).float() / 255
        return shown

    def _foreign_objects(self, canvas: Tensor, draws: Draws) -> Tensor:
        """Letters' worth of boxes near the edge; black or white collimation; an L or
        R, plain or mirrored, on either side: a marker that tells nothing.
        """
        there = draws.happens(self.markers)
        top, left = near_edge(draws, self.size)
        box = rectangles(top, left, draws.integers(3, 14, 2) * there, self.size)
        bright = column(draws.happens(0.75)[:, 0])
        canvas = torch.where(box, bright.float(), canvas)
        widths = draws.integers(3, max(4, self.size // 6)) * draws.happens(
            self.collimation
        )
        side = one_hot(draws.integers(0, 4)[:, 0], 4)
        white = column(draws.happens(0.25)[:, 0])
        strip = strips(widths * side, self.size)
        canvas = torch.where(strip, white.float(), canvas)
        kind = draws.integers(0, 2, 3)
        top, left = near_edge(draws, self.size - letters.HIGH)
        letter = letters.written(kind, top, left, self.size)
        return torch.where(
            letter & column(draws.happens(self.letters)[:, 0]), 1.0, canvas
        )

    def _degrade(self, canvas: Tensor, draws: Draws) -> Tensor:
        """JPEG round trip, coarser detectors, quantum noise."""
        index, quality = draws.chosen(self.jpeg), draws.integers(35, 95)[:, 0]
        if len(index):
            canvas[index, 0] = through_jpeg(canvas[index, 0], quality[index])
        for step, index in enumerate(draws.groups(self.resolution, _COARSENESSES)):
            if len(index):
                side = round(self.size * (0.5 + 0.5 * step / _COARSENESSES))
                canvas[index] = _coarsened(canvas[index], side)
        strength = column(draws.unit()[:, 0]) * self.noise
        random = torch.Generator(canvas.device).manual_seed(draws.seed())
        grain = torch.randn(canvas.shape, generator=random, device=canvas.device)
        return canvas + strength * grain

    def _blank_borders(self, draws: Draws) -> Tensor:
        """Blank the same fraction of all sides, or of each side its own; bool."""
        each = draws.unit(4) * self.blank_most
        share = torch.where(draws.happens(0.5), each[:, :1], each)
        widths = (share * self.size).round() * draws.happens(self.blank)
        return strips(widths, self.size)

    def _blank_corners(self, draws: Draws) -> Tensor:
        """Blank a rectangle in each of some corners, where side markers lie; bool."""
        there = draws.happens(self.corners) & draws.happens(0.6, 4)
        sides = (draws.unit(8) * self.corners_most * self.size).round()
        sides = sides.reshape(-1, 4, 2) * there[:, :, None]
        start = torch.zeros_like(sides[:, 0, 0])
        blank = torch.zeros(1, dtype=torch.bool, device=sides.device)
        for corner in range(4):
            down, right = divmod(corner, 2)
            rows, columns = sides[:, corner].unbind(1)
            top = self.size - rows if down else start
            left = self.size - columns if right else start
            blank = blank | rectangles(top, left, sides[:, corner], self.size)
        return blank


def _quarter_turns(turns: Tensor) -> Tensor:
    """(n, 2, 2): from where on the turned image to where on the image."""
    cos = torch.tensor([1.0, 0.0, -1.0, 0.0], device=turns.device)[turns]
    sin = torch.tensor([0.0, 1.0, 0.0, -1.0], device=turns.device)[turns]
    return torch.stack([torch.stack([cos, sin], 1), torch.stack([-sin, cos], 1)], 1)


def _coarsened(canvas: Tensor, side: int) -> Tensor:
    """(n, 1, N, N) seen by a detector of side x side pixels."""
    small = interpolate(canvas, size=(side, side), mode="area")
    return interpolate(
        small, size=canvas.shape[2:], mode="bilinear", align_corners=False
    )
