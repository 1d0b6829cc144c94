"""Grad-CAM, Grad-CAM++ and HiResCAM, at any layer of any network.

For networks that end in global average pooling and a linear head, at the last feature
map, HiResCAM and Grad-CAM are the class activation map up to a factor; elsewhere they
differ. Selvaraju et al., ICCV 2017; Chattopadhay et al., WACV 2018; Draelos and Carin
2020, arXiv 2011.08891.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model.explain.target import Target
    from model.network import Classifier

_SMALLEST = 1e-12


def grad_cam(
    network: Classifier, images: Tensor, target: Target, layer: nn.Module | None = None
) -> Tensor:
    """(batch, 1, N, N) -> (batch, n, n): channels weighted by their mean gradient.

    layer: whose output is explained; the whole trunk when not given.
    """
    features, gradient = _at(network, images, target, layer)
    weight = gradient.mean((2, 3), keepdim=True)
    return (weight * features).sum(1).clamp(min=0)


def grad_cam_plus_plus(
    network: Classifier, images: Tensor, target: Target, layer: nn.Module | None = None
) -> Tensor:
    """As `grad_cam`, each place's gradient weighted so that small things count."""
    features, gradient = _at(network, images, target, layer)
    square = gradient.square()
    total = features.sum((2, 3), keepdim=True)
    below = 2 * square + total * square * gradient
    alpha = square / torch.where(below.abs() > 0, below, torch.ones_like(below))
    weight = (alpha * gradient.clamp(min=0)).sum((2, 3), keepdim=True)
    return (weight * features).sum(1).clamp(min=0)


def hires_cam(
    network: Classifier, images: Tensor, target: Target, layer: nn.Module | None = None
) -> Tensor:
    """As `grad_cam`, each place weighted by its own gradient."""
    features, gradient = _at(network, images, target, layer)
    return (gradient * features).sum(1).clamp(min=0)


def scaled(maps: Tensor) -> Tensor:
    """(batch, n, n) of at least 0 -> [0, 1], each by its largest value."""
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=_SMALLEST)


def _at(
    network: Classifier, images: Tensor, target: Target, layer: nn.Module | None
) -> tuple[Tensor, Tensor]:
    """Output of a layer (batch, C, n, n) and the target's gradient there."""
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _given: object, output: Tensor) -> None:
        kept.append(output)

    handle = (layer or network.trunk).register_forward_hook(keep)
    try:
        # the weights of a loaded bundle want no gradient: the image carries the graph
        value = target(network, images.detach().requires_grad_())
        (gradient,) = torch.autograd.grad(value.sum(), kept[0])
    finally:
        handle.remove()
    return kept[0].detach(), gradient
