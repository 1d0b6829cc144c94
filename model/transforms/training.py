"""Random variation of a batch in training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate
from torchvision.transforms.v2 import functional as v2

from model.transforms.draws import (
    GLYPHS,
    chosen,
    column,
    edge,
    integers,
    jpeg,
    near_edge,
    uniform,
)
from model.transforms.normalise import check, equalised, standardise

if TYPE_CHECKING:
    from torch import Generator, Tensor


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
        """uint8 (batch, S, S) -> float32 (batch, 1, N, N).

        turns: quarter turns clockwise, int64 (batch,). inverted: bool (batch,).
        """
        pixels = self._normalised(images)[:, None].float() / 255
        pixels = torch.where(inverted[:, None, None, None], 1 - pixels, pixels)
        canvas, content = self._geometry(pixels, turns, random)
        canvas = self._grey_values(canvas, random)
        canvas = self._foreign_objects(canvas, random)
        canvas = self._write_letters(canvas, random)
        canvas = self._degrade(canvas, random)
        keep = self._blank_borders(content, random)
        return standardise(canvas, content * self._blank_corners(keep, random))

    def _normalised(self, images: Tensor) -> Tensor:
        if self.normalise == "standardise":
            return images
        done = [equalised(image.numpy(), self.normalise) for image in images]
        return torch.from_numpy(np.stack(done))

    def _geometry(
        self, pixels: Tensor, turns: Tensor, random: Generator
    ) -> tuple[Tensor, Tensor]:
        """Quarter turn, small affine and aspect in one resampling; content mask."""
        n = len(pixels)
        turned = torch.stack(
            [
                torch.rot90(p, -int(k), (1, 2))
                for p, k in zip(pixels, turns, strict=True)
            ]
        )
        theta = self._affine(n, random)
        shape = [n, 1, self.size, self.size]
        grid = affine_grid(theta, shape, align_corners=False)
        canvas = grid_sample(turned, grid, padding_mode="border", align_corners=False)
        content = (grid.abs().amax(-1) <= 1).float()[:, None]
        return canvas, content

    def _affine(self, n: int, random: Generator) -> Tensor:
        angle = uniform(n, self.degrees, random) * math.pi / 180
        zoom = torch.exp(uniform(n, self.scale, random))
        aspect = torch.exp(uniform(n, self.aspect, random))
        # The longer side fills the canvas, as the letterbox of service has it.
        stretch_x = zoom * aspect.clamp(min=1)
        stretch_y = zoom * (1 / aspect).clamp(min=1)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0] = torch.cos(angle) * stretch_x
        theta[:, 0, 1] = -torch.sin(angle) * stretch_x
        theta[:, 1, 0] = torch.sin(angle) * stretch_y
        theta[:, 1, 1] = torch.cos(angle) * stretch_y
        theta[:, 0, 2] = uniform(n, self.shift, random)
        theta[:, 1, 2] = uniform(n, self.shift, random)
        return theta

    def _grey_values(self, canvas: Tensor, random: Generator) -> Tensor:
        """Window, gamma, and now and then a histogram equalisation."""
        n = len(canvas)
        low = column(uniform(n, self.window, random))
        high = column(1 + uniform(n, self.window, random))
        gamma = column(torch.exp(uniform(n, self.gamma, random)))
        shown = ((canvas - low) / (high - low)).clamp(0, 1) ** gamma
        for index in chosen(n, self.equalise, random):
            eight_bit = (shown[index] * 255).to(torch.uint8)
            shown[index] = v2.equalize(eight_bit).float() / 255
        return shown

    def _foreign_objects(self, canvas: Tensor, random: Generator) -> Tensor:
        """Letters' worth of white boxes near the edge; black or white collimation."""
        n = len(canvas)
        for index in chosen(n, self.markers, random):
            row, column = near_edge(self.size, random)
            high, wide = integers(2, 3, 14, random)
            value = 1.0 if integers(1, 0, 4, random)[0] else 0.0
            canvas[index, :, row : row + high, column : column + wide] = value
        for index in chosen(n, self.collimation, random):
            colour, side = integers(2, 0, 4, random)
            width = integers(1, 3, self.size // 6, random)[0]
            rows, columns = edge(side, width)
            canvas[index, :, rows, columns] = 1.0 if colour == 0 else 0.0
        return canvas

    def _write_letters(self, canvas: Tensor, random: Generator) -> Tensor:
        """An L or R, plain or mirrored, on either side: a marker that tells nothing."""
        if not self.letters:
            return canvas
        for index in chosen(len(canvas), self.letters, random):
            which, flipped, large = integers(3, 0, 2, random)
            glyph = GLYPHS[which].repeat_interleave(1 + large, 0)
            glyph = glyph.repeat_interleave(1 + large, 1)
            glyph = glyph.flip(1) if flipped else glyph
            row, column = near_edge(self.size - max(glyph.shape), random)
            place = canvas[index, 0, row : row + len(glyph), column:]
            place = place[:, : glyph.shape[1]]
            place[glyph[: len(place), : place.shape[1]] > 0] = 1.0
        return canvas

    def _degrade(self, canvas: Tensor, random: Generator) -> Tensor:
        """JPEG round trip, coarser detectors, quantum noise."""
        n = len(canvas)
        for index in chosen(n, self.jpeg, random):
            quality = integers(1, 35, 95, random)[0]
            canvas[index, 0] = jpeg(canvas[index, 0], quality)
        for index in chosen(n, self.resolution, random):
            side = integers(1, self.size // 2, self.size, random)[0]
            small = interpolate(
                canvas[index : index + 1], size=(side, side), mode="area"
            )
            canvas[index] = interpolate(
                small,
                size=(self.size, self.size),
                mode="bilinear",
                align_corners=False,
            )[0]
        strength = column(torch.rand(n, generator=random)) * self.noise
        return canvas + strength * torch.randn(canvas.shape, generator=random)

    def _blank_borders(self, content: Tensor, random: Generator) -> Tensor:
        """Blank the same fraction of all sides, or of each side its own."""
        keep = torch.ones_like(content)
        for index in chosen(len(content), self.blank, random):
            widths = torch.rand(4, generator=random) * self.blank_most
            if integers(1, 0, 2, random)[0]:
                widths[:] = widths[0]
            for side, width in enumerate(widths.tolist()):
                rows, columns = edge(side, round(width * self.size))
                keep[index, :, rows, columns] = 0
        return keep

    def _blank_corners(self, keep: Tensor, random: Generator) -> Tensor:
        """Blank a rectangle in each of some corners, where side markers lie."""
        if not self.corners:
            return keep
        for index in chosen(len(keep), self.corners, random):
            sizes = torch.rand(4, 2, generator=random) * self.corners_most
            for corner in chosen(4, 0.6, random):
                rows, columns = (round(s * self.size) for s in sizes[corner].tolist())
                down, right = divmod(corner, 2)
                top = self.size - rows if down else 0
                left = self.size - columns if right else 0
                keep[index, :, top : top + rows, left : left + columns] = 0
        return keep
