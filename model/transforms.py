"""From display pixels to what the network sees: one preset to train, one to serve.

Both end in the same steps in the same order: letterbox on a square canvas, blank the
border, standardise each image over what is left, zero everywhere else. The border and
the padding are therefore the image's own mean, neither black nor white, and say
nothing about inversion.

The training preset works on a whole batch with an explicit generator instead of
torchvision's v2 classes: v2 draws from the global generator, so that a run could not
be resumed bit by bit. Its functional kernels are used where they exist.
"""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import affine_grid, grid_sample, interpolate
from torchvision.transforms.v2 import functional as v2

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Generator, Tensor

PRESET_VERSION = 1
_SMALLEST_DEVIATION = 1e-3


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
class EvalPreset:
    """What service and evaluation do; stored in the bundle.

    size: side of the canvas in pixels. border: fraction of each side that is blanked,
    because the view is often written there.
    """

    size: int = 128
    border: float = 0.0
    version: int = PRESET_VERSION

    def __post_init__(self) -> None:
        if self.version != PRESET_VERSION:
            raise ValueError(
                f"preset version {self.version} is unknown: use version"
                f" {PRESET_VERSION} or a newer program"
            )
        if self.size < 16 or not 0 <= self.border < 0.5:  # noqa: PLR2004
            raise ValueError(
                "a preset needs size >= 16 and 0 <= border < 0.5: correct the recipe"
            )

    def __call__(self, image: NDArray[np.float32]) -> Tensor:
        """Display pixels (rows, columns) in [0, 1] -> float32 tensor (1, N, N)."""
        return self.of(torch.from_numpy(np.ascontiguousarray(image, np.float32)))

    def of(self, pixels: Tensor) -> Tensor:
        """As the call, of a tensor (rows, columns); gradients pass through it."""
        box = letterbox_box(pixels.shape[0], pixels.shape[1], self.size)
        small = interpolate(
            pixels[None, None],
            size=(box.rows, box.columns),
            mode="bilinear",
            antialias=True,
            align_corners=False,
        )
        canvas = torch.zeros(1, 1, self.size, self.size)
        mask = torch.zeros(1, 1, self.size, self.size)
        rows = slice(box.top, box.top + box.rows)
        columns = slice(box.left, box.left + box.columns)
        canvas[..., rows, columns] = small
        mask[..., rows, columns] = _border_mask(box, self.border)
        return standardise(canvas, mask)[0]

    def box(self, image: NDArray[Any]) -> Box:
        """Where this image lies on the canvas."""
        return letterbox_box(image.shape[0], image.shape[1], self.size)

    def to_source(self, plane: Tensor, box: Box) -> NDArray[np.float32]:
        """Inverse geometry: a map over the canvas -> (box rows, box columns).

        plane: (map rows, map columns), covering the whole canvas. The result covers
        exactly the source image: padding removed, the caller resizes it to any size.
        """
        full = interpolate(
            plane[None, None].float(),
            size=(self.size, self.size),
            mode="bilinear",
            align_corners=False,
        )[0, 0]
        rows = slice(box.top, box.top + box.rows)
        columns = slice(box.left, box.left + box.columns)
        return np.asarray(full[rows, columns].contiguous().numpy(), np.float32)

    def to_dict(self) -> dict[str, int | float]:
        """As stored in the bundle."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> EvalPreset:
        """The preset a bundle was made with; ValueError when it is not ours."""
        if set(stored) != {"size", "border", "version"}:
            raise ValueError(
                f"a preset has size, border and version, not {sorted(stored)}:"
                " install a bundle made for this version"
            )
        return cls(int(stored["size"]), float(stored["border"]), stored["version"])


def standardise(canvas: Tensor, mask: Tensor) -> Tensor:
    """Mean 0, deviation 1 over mask == 1 of each image; 0 elsewhere.

    canvas, mask: (batch, 1, N, N). A constant image becomes zero (to rounding).
    """
    n_pixels = mask.sum((1, 2, 3), keepdim=True).clamp(min=1)
    mean = (canvas * mask).sum((1, 2, 3), keepdim=True) / n_pixels
    centred = (canvas - mean) * mask
    variance = centred.square().sum((1, 2, 3), keepdim=True) / n_pixels
    return centred / variance.sqrt().clamp(min=_SMALLEST_DEVIATION)


def _border_mask(box: Box, border: float) -> Tensor:
    mask = torch.zeros(box.rows, box.columns)
    top, left = round(border * box.rows), round(border * box.columns)
    mask[top : box.rows - top, left : box.columns - left] = 1
    return mask


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

    def __call__(
        self, images: Tensor, turns: Tensor, inverted: Tensor, random: Generator
    ) -> Tensor:
        """uint8 (batch, S, S) -> float32 (batch, 1, N, N).

        turns: quarter turns clockwise, int64 (batch,). inverted: bool (batch,).
        """
        pixels = images[:, None].float() / 255
        pixels = torch.where(inverted[:, None, None, None], 1 - pixels, pixels)
        canvas, content = self._geometry(pixels, turns, random)
        canvas = self._grey_values(canvas, random)
        canvas = self._foreign_objects(canvas, random)
        canvas = self._degrade(canvas, random)
        return standardise(canvas, content * self._blank_borders(content, random))

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
        angle = _uniform(n, self.degrees, random) * math.pi / 180
        zoom = torch.exp(_uniform(n, self.scale, random))
        aspect = torch.exp(_uniform(n, self.aspect, random))
        # The longer side fills the canvas, as the letterbox of service has it.
        stretch_x = zoom * aspect.clamp(min=1)
        stretch_y = zoom * (1 / aspect).clamp(min=1)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0] = torch.cos(angle) * stretch_x
        theta[:, 0, 1] = -torch.sin(angle) * stretch_x
        theta[:, 1, 0] = torch.sin(angle) * stretch_y
        theta[:, 1, 1] = torch.cos(angle) * stretch_y
        theta[:, 0, 2] = _uniform(n, self.shift, random)
        theta[:, 1, 2] = _uniform(n, self.shift, random)
        return theta

    def _grey_values(self, canvas: Tensor, random: Generator) -> Tensor:
        """Window, gamma, and now and then a histogram equalisation."""
        n = len(canvas)
        low = _column(_uniform(n, self.window, random))
        high = _column(1 + _uniform(n, self.window, random))
        gamma = _column(torch.exp(_uniform(n, self.gamma, random)))
        shown = ((canvas - low) / (high - low)).clamp(0, 1) ** gamma
        for index in _chosen(n, self.equalise, random):
            eight_bit = (shown[index] * 255).to(torch.uint8)
            shown[index] = v2.equalize(eight_bit).float() / 255
        return shown

    def _foreign_objects(self, canvas: Tensor, random: Generator) -> Tensor:
        """Letters' worth of white boxes near the edge; black or white collimation."""
        n = len(canvas)
        for index in _chosen(n, self.markers, random):
            row, column = _near_edge(self.size, random)
            high, wide = _integers(2, 3, 14, random)
            value = 1.0 if _integers(1, 0, 4, random)[0] else 0.0
            canvas[index, :, row : row + high, column : column + wide] = value
        for index in _chosen(n, self.collimation, random):
            colour, side = _integers(2, 0, 4, random)
            width = _integers(1, 3, self.size // 6, random)[0]
            rows, columns = _edge(side, width)
            canvas[index, :, rows, columns] = 1.0 if colour == 0 else 0.0
        return canvas

    def _degrade(self, canvas: Tensor, random: Generator) -> Tensor:
        """JPEG round trip, coarser detectors, quantum noise."""
        n = len(canvas)
        for index in _chosen(n, self.jpeg, random):
            quality = _integers(1, 35, 95, random)[0]
            canvas[index, 0] = _jpeg(canvas[index, 0], quality)
        for index in _chosen(n, self.resolution, random):
            side = _integers(1, self.size // 2, self.size, random)[0]
            small = interpolate(
                canvas[index : index + 1], size=(side, side), mode="area"
            )
            canvas[index] = interpolate(
                small,
                size=(self.size, self.size),
                mode="bilinear",
                align_corners=False,
            )[0]
        strength = _column(torch.rand(n, generator=random)) * self.noise
        return canvas + strength * torch.randn(canvas.shape, generator=random)

    def _blank_borders(self, content: Tensor, random: Generator) -> Tensor:
        """Blank the same fraction of all sides, or of each side its own."""
        keep = torch.ones_like(content)
        for index in _chosen(len(content), self.blank, random):
            widths = torch.rand(4, generator=random) * self.blank_most
            if _integers(1, 0, 2, random)[0]:
                widths[:] = widths[0]
            for side, width in enumerate(widths.tolist()):
                rows, columns = _edge(side, round(width * self.size))
                keep[index, :, rows, columns] = 0
        return keep


def _jpeg(plane: Tensor, quality: int) -> Tensor:
    """(rows, columns) in [0, 1] through JPEG; Pillow, as torchvision drops its own."""
    stream = io.BytesIO()
    eight_bit = (plane.clamp(0, 1) * 255).to(torch.uint8)
    Image.fromarray(eight_bit.numpy()).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return torch.from_numpy(np.asarray(image, np.float32)) / 255


def _uniform(n: int, half_width: float, random: Generator) -> Tensor:
    return (2 * torch.rand(n, generator=random) - 1) * half_width


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _chosen(n: int, probability: float, random: Generator) -> list[int]:
    drawn = torch.rand(n, generator=random) < probability
    return [int(index) for index in drawn.nonzero()]


def _integers(n: int, low: int, high: int, random: Generator) -> list[int]:
    drawn = torch.randint(low, high, (n,), generator=random)
    return [int(value) for value in drawn]


def _edge(side: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a strip along one of the four sides."""
    everything = slice(None)
    first, last = slice(0, width), slice(-width, None) if width else slice(0, 0)
    return (
        (first, everything),
        (last, everything),
        (everything, first),
        (everything, last),
    )[side]


def _near_edge(size: int, random: Generator) -> tuple[int, int]:
    """A corner of a small box within the outer fifth of one side."""
    along, across, side = _integers(3, 0, size, random)
    depth = across // 5
    corners = ((depth, along), (along, depth), (size - depth - 4, along))
    return (*corners, (along, size - depth - 8))[side % 4]
