"""Side markers: an L or an R, plain or mirrored, drawn into a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

HIGH, WIDE = 7, 5
_GLYPHS = (
    "#.... #.... #.... #.... #.... #.... #####",
    "####. #...# #...# ####. #.#.. #..#. #...#",
)


def glyphs(device: torch.device) -> Tensor:
    """(letter, mirrored or not, 7, 5), 1 where the letter is."""
    plain = torch.tensor(
        [[[float(p == "#") for p in row] for row in one.split()] for one in _GLYPHS]
    )
    return torch.stack([plain, plain.flip(2)], 1).to(device)


def written(kind: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    """Bool (n, 1, size, size): where the letter of each image is.

    kind: (n, 3): which letter, whether it is mirrored, whether it is twice as large.
    top, left: (n,), of its corner; letters beyond the edge are cut.
    """
    which, flipped, large = kind.unbind(1)
    place = torch.arange(size, device=kind.device)[None]
    scale = 1 + large[:, None]
    row = (place - top[:, None]).div(scale, rounding_mode="floor")
    column = (place - left[:, None]).div(scale, rounding_mode="floor")
    inside = ((row >= 0) & (row < HIGH))[:, :, None]
    inside = inside & ((column >= 0) & (column < WIDE))[:, None, :]
    table = glyphs(kind.device)[which, flipped]
    rows = row.clamp(0, HIGH - 1)[:, :, None].expand(-1, -1, WIDE)
    lines = table.gather(1, rows)
    columns = column.clamp(0, WIDE - 1)[:, None, :].expand(-1, size, -1)
    return ((lines.gather(2, columns) > 0) & inside)[:, None]
