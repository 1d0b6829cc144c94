"""Attention trunks of torchvision, made to give a feature map for any input size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torchvision
from torch import nn
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from torch import Tensor

_PATCH = 16


class Patches(nn.Module):
    """ViT-B/16 without its head; the class token takes part but is not given out.

    Inputs need sides that are multiples of 16. Position embeddings, learned for 224 x
    224, are resampled to the grid of the input, so weights fit any size.
    """

    def __init__(self) -> None:
        super().__init__()
        net: Any = torchvision.models.vit_b_16(weights=None)
        net.heads = nn.Identity()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """(batch, 1, N, N) -> (batch, 768, N/16, N/16)."""
        grid = self.net.conv_proj(images)  # (batch, 768, N/16, N/16)
        n, width, rows, columns = grid.shape
        tokens = grid.flatten(2).transpose(1, 2)  # (batch, rows * columns, 768)
        start = self.net.class_token.expand(n, -1, -1)
        encoder = self.net.encoder
        tokens = torch.cat([start, tokens], 1) + self._positions(rows, columns)
        tokens = encoder.ln(encoder.layers(encoder.dropout(tokens)))
        plane: Tensor = tokens[:, 1:].transpose(1, 2)  # (batch, 768, rows * columns)
        return plane.reshape(n, width, rows, columns)

    def _positions(self, rows: int, columns: int) -> Tensor:
        """(1, 1 + rows * columns, 768)."""
        stored: Tensor = self.net.encoder.pos_embedding
        side = int((stored.shape[1] - 1) ** 0.5)
        if (rows, columns) == (side, side):
            return stored
        plane = stored[:, 1:].transpose(1, 2).reshape(1, -1, side, side)
        plane = interpolate(
            plane, size=(rows, columns), mode="bicubic", align_corners=False
        )
        return torch.cat([stored[:, :1], plane.flatten(2).transpose(1, 2)], 1)


def vit(feature_stride: int) -> tuple[nn.Module, int]:
    """ViT-B/16; one feature per patch, so the stride is 16."""
    if feature_stride != _PATCH:
        raise ValueError("vit_b_16 has patches of 16 pixels: use feature_stride 16")
    return Patches(), 768


def swin(feature_stride: int) -> tuple[nn.Module, int]:
    """Swin-T, version 2; windows of 8 x 8 features, padded where they do not fit."""
    if feature_stride == _PATCH:
        raise ValueError("swin_v2_t merges patches to 32 pixels: use feature_stride 32")
    net: Any = torchvision.models.swin_v2_t(weights=None)
    # features: 0 patches (N/4, N/4, 96), 1 (N/4, N/4, 96), 3 (N/8, N/8, 192),
    # 5 (N/16, N/16, 384), 7 (N/32, N/32, 768); permute: channels first
    return nn.Sequential(net.features, net.norm, net.permute), 768
