"""Random draws for a batch, and what is drawn with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor

_COLUMNS = 64


class Draws:
    """Uniform draws for each image of a batch, made at once on the CPU.

    They are made there whatever the device, so that the same generator gives the same
    variations everywhere, and copied to the device in one go. Every method takes the
    next columns; nothing waits for the device.
    """

    def __init__(self, n: int, random: Generator, device: torch.device) -> None:
        self._host = torch.rand(n, _COLUMNS, generator=random)
        self._there = self._host.to(device, non_blocking=True)
        self._next = 0

    def __len__(self) -> int:
        return len(self._host)

    def unit(self, columns: int = 1) -> Tensor:
        """(n, columns) from [0, 1), on the device."""
        return self._there[:, self._take(columns)]

    def uniform(self, half_width: float) -> Tensor:
        """(n,) from [-half_width, half_width), on the device."""
        return (2 * self.unit()[:, 0] - 1) * half_width

    def integers(self, low: int, high: int, columns: int = 1) -> Tensor:
        """(n, columns) from low to high - 1, int64 on the device."""
        return low + (self.unit(columns) * (high - low)).long()

    def happens(self, probability: float, columns: int = 1) -> Tensor:
        """Bool (n, columns), on the device."""
        return self.unit(columns) < probability

    def chosen(self, probability: float) -> Tensor:
        """Indices of the images that something happens to, on the device."""
        index = (self._host[:, self._take(1)][:, 0] < probability).nonzero()[:, 0]
        return index.to(self._there.device, non_blocking=True)

    def groups(self, probability: float, n_groups: int) -> list[Tensor]:
        """The chosen images in groups, at random; indices on the device."""
        chosen, group = self._host[:, self._take(2)].unbind(1)
        number = (group * n_groups).long()
        number[chosen >= probability] = -1
        return [
            (number == one).nonzero()[:, 0].to(self._there.device, non_blocking=True)
            for one in range(n_groups)
        ]

    def seed(self) -> int:
        """For a generator of the device."""
        return int(self._host[0, self._take(1)].double() * 2**24)

    def _take(self, columns: int) -> slice:
        first, self._next = self._next, self._next + columns
        if self._next > _COLUMNS:
            raise ValueError(f"more than {_COLUMNS} draws for an image: raise _COLUMNS")
        return slice(first, self._next)


def column(values: Tensor) -> Tensor:
    """(n,) -> (n, 1, 1, 1), to go with a batch of images."""
    return values[:, None, None, None]


def rectangles(top: Tensor, left: Tensor, sides: Tensor, size: int) -> Tensor:
    """Bool (n, 1, size, size): a rectangle in each image.

    top, left: (n,). sides: (n, 2), rows and columns; 0 for none.
    """
    place = torch.arange(size, device=top.device)
    rows = _between(place, top, sides[:, 0])[:, None, :, None]
    columns = _between(place, left, sides[:, 1])[:, None, None, :]
    return rows & columns


def strips(widths: Tensor, size: int) -> Tensor:
    """Bool (n, 1, size, size): strips along the sides.

    widths: (n, 4) pixels at the top, bottom, left and right; 0 for none.
    """
    place = torch.arange(size, device=widths.device)[None]
    first, last = place < widths[:, :, None], place >= size - widths[:, :, None]
    rows = (first[:, 0] | last[:, 1])[:, None, :, None]
    columns = (first[:, 2] | last[:, 3])[:, None, None, :]
    return rows | columns


def near_edge(draws: Draws, size: int) -> tuple[Tensor, Tensor]:
    """Top and left, each (n,), of a small box within the outer fifth of a side."""
    along, across, side = draws.integers(0, size, 3).unbind(1)
    side, depth = side % 4, across // 5
    top = torch.stack([depth, along, size - depth - 4, along], 1)
    left = torch.stack([along, depth, along, size - depth - 8], 1)
    chosen = side[:, None]
    return top.gather(1, chosen)[:, 0], left.gather(1, chosen)[:, 0]


def _between(place: Tensor, start: Tensor, width: Tensor) -> Tensor:
    begin = start[:, None]
    return (place >= begin) & (place < begin + width[:, None])
