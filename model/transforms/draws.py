"""Random draws from a given generator, and what they draw with."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

if TYPE_CHECKING:
    from torch import Generator, Tensor

GLYPHS = tuple(  # 7 rows of 5 pixels
    torch.tensor([[float(pixel == "#") for pixel in row] for row in glyph.split()])
    for glyph in (
        "#.... #.... #.... #.... #.... #.... #####",
        "####. #...# #...# ####. #.#.. #..#. #...#",
    )
)


def jpeg(plane: Tensor, quality: int) -> Tensor:
    """(rows, columns) in [0, 1] through JPEG; Pillow, as torchvision drops its own."""
    stream = io.BytesIO()
    eight_bit = (plane.clamp(0, 1) * 255).to(torch.uint8)
    Image.fromarray(eight_bit.numpy()).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return torch.from_numpy(np.asarray(image, np.float32)) / 255


def uniform(n: int, half_width: float, random: Generator) -> Tensor:
    """(n,) draws from [-half_width, half_width)."""
    return (2 * torch.rand(n, generator=random) - 1) * half_width


def column(values: Tensor) -> Tensor:
    """(n,) -> (n, 1, 1, 1), to go with a batch of images."""
    return values[:, None, None, None]


def chosen(n: int, probability: float, random: Generator) -> list[int]:
    """Indices of the images that something happens to."""
    drawn = torch.rand(n, generator=random) < probability
    return [int(index) for index in drawn.nonzero()]


def integers(n: int, low: int, high: int, random: Generator) -> list[int]:
    """n draws from low to high - 1."""
    drawn = torch.randint(low, high, (n,), generator=random)
    return [int(value) for value in drawn]


def edge(side: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a strip along one of the four sides."""
    everything = slice(None)
    first, last = slice(0, width), slice(-width, None) if width else slice(0, 0)
    return (
        (first, everything),
        (last, everything),
        (everything, first),
        (everything, last),
    )[side]


def near_edge(size: int, random: Generator) -> tuple[int, int]:
    """A corner of a small box within the outer fifth of one side."""
    along, across, side = integers(3, 0, size, random)
    depth = across // 5
    corners = ((depth, along), (along, depth), (size - depth - 4, along))
    return (*corners, (along, size - depth - 8))[side % 4]
