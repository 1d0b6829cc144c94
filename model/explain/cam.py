"""Class activation maps of networks that end in global average pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from model.network import Head


def direction(head: Head, weight: Tensor, index: int) -> Tensor:
    """What raises the class's logit over the others': (width,).

    weight: (classes, width) of the head. A softmax does not change when the same is
    added to all logits, so the mean of the other classes is taken off.
    """
    if head.activation == "sigmoid":
        return weight[index]
    others = weight.sum(0) - weight[index]
    return weight[index] - others / (len(weight) - 1)


def class_activation(features: Tensor, direction_: Tensor) -> Tensor:
    """(C, n, n) and (C,) -> (n, n) in [0, 1]: what speaks for the class, and where.

    Scaled by its largest value; all zeros when nothing speaks for the class.
    """
    raw = (features * direction_[:, None, None]).sum(0).clamp(min=0)
    return raw / raw.amax().clamp(min=1e-12)


def class_activations(features: Tensor, directions: Tensor) -> Tensor:
    """As `class_activation`, of several classes, and of one image or a batch.

    (..., C, n, n) and (L, C) -> (..., L, n, n).
    """
    raw = (directions @ features.flatten(-2)).clamp(min=0)
    scaled = raw / raw.amax(-1, keepdim=True).clamp(min=1e-12)
    return scaled.reshape(*scaled.shape[:-1], *features.shape[-2:])
