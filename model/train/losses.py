"""Losses that skip what is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.nn.functional import binary_cross_entropy_with_logits, log_softmax

if TYPE_CHECKING:
    from torch import Tensor

    from model.network import Head


def masked_loss(
    head: Head, logits: Tensor, target: Tensor, weight: Tensor, smoothing: float
) -> Tensor:
    """Mean loss of one head over the images whose label is known.

    logits, target: (batch, classes), target NaN where unknown. weight: (batch,).
    Cross-entropy for softmax heads, binary cross-entropy for sigmoid heads, both on
    smoothed targets. Zero when nothing is known.
    """
    known = ~target.isnan()
    filled = target.nan_to_num(0.0)
    if head.activation == "softmax":
        smooth = filled * (1 - smoothing) + smoothing / target.shape[1]
        rows = known.all(1).float() * weight
        each = -(smooth * log_softmax(logits, 1)).sum(1)
        return (each * rows).sum() / rows.sum().clamp(min=1)
    smooth = filled * (1 - smoothing) + smoothing / 2
    cells = known.float() * weight[:, None]
    each = binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    return (each * cells).sum() / cells.sum().clamp(min=1)
