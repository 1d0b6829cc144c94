"""Our compact residual network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outer)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.second_norm = nn.BatchNorm2d(outer)
        nn.init.zeros_(self.second_norm.weight)  # each block starts as its shortcut
        self.shortcut = (
            nn.Sequential(
                nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)
            )
            if stride != 1 or inner != outer
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inner, r, c) -> (batch, outer, r / stride, c / stride)."""
        y = torch.relu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return torch.relu(y + self.shortcut(x))


def slim(feature_stride: int) -> tuple[nn.Module, int]:
    """0.70 million parameters.

    Shapes for an input of 128 x 128 and feature stride 16.
    """
    trunk = nn.Sequential(
        nn.Conv2d(1, 24, 3, 2, 1, bias=False),  # (batch, 24, 64, 64)
        nn.BatchNorm2d(24),
        nn.ReLU(inplace=True),
        Residual(24, 24, 1),  # (batch, 24, 64, 64)
        Residual(24, 48, 2),  # (batch, 48, 32, 32)
        Residual(48, 96, 2),  # (batch, 96, 16, 16)
        Residual(96, 192, 2),  # (batch, 192, 8, 8)
        nn.Identity() if feature_stride == 16 else nn.MaxPool2d(2),  # noqa: PLR2004
    )
    return trunk, 192
