"""Losses that skip what is not known; each head of a recipe names its own.

All take logits and soft targets of shape (batch, classes), a target being NaN where
unknown, and one weight per image; the mean is over what is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import (
    binary_cross_entropy_with_logits,
    log_softmax,
    logsigmoid,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from model.network import Head

_FOCUS = 2.0  # gamma of Lin et al. 2017 (arXiv 1708.02002)
_FOCUS_POSITIVE, _FOCUS_NEGATIVE, _SHIFT = 1.0, 4.0, 0.05  # arXiv 2009.14119
_MARGIN = 1.0  # arXiv 2012.03173


def masked_loss(
    head: Head,
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    smoothing: float,
    name: str = "",
) -> Tensor:
    """Mean loss of one head over the images whose label is known.

    logits, target: (batch, classes), target NaN where unknown. weight: (batch,).
    smoothing: towards the uniform distribution. name: of LOSSES; "" for cross-entropy
    of softmax heads and binary cross-entropy of sigmoid heads. Zero when nothing is
    known.
    """
    known = ~target.isnan()
    filled = target.nan_to_num(0.0)
    softmax = head.activation == "softmax"
    smooth = filled * (1 - smoothing) + smoothing / (target.shape[1] if softmax else 2)
    if name == "hierarchical":
        return _hierarchical(logits, target, weight, head.parents, smoothing)
    if name == "auc_margin":
        return _auc_margin(logits, filled, known.float() * weight[:, None])
    if softmax:
        rows = known.all(1).float() * weight
        each = LOSSES[name or "cross_entropy"](logits, smooth).sum(1)
        return (each * rows).sum() / rows.sum().clamp(min=1)
    cells = known.float() * weight[:, None]
    each = LOSSES[name or "binary_cross_entropy"](logits, smooth)
    return (each * cells).sum() / cells.sum().clamp(min=1)


def check(name: str, activation: str) -> None:
    """Raise ValueError when there is no such loss, or not for this activation."""
    if name and name not in (*LOSSES, *_OF_BATCHES):
        known = ", ".join((*LOSSES, *_OF_BATCHES))
        raise ValueError(f"loss {name!r} is unknown: use one of {known}")
    if name and (activation == "softmax") != (name in _OF_SOFTMAX):
        raise ValueError(
            f"loss {name} is not for {activation} heads: use"
            f" {'one of ' + ', '.join(sorted(_OF_SOFTMAX))}"
            if activation == "softmax"
            else f"loss {name} is not for {activation} heads: choose another"
        )


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return -(target * log_softmax(logits, 1))


def _softmax_focal(logits: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, less where the class is already probable."""
    log_p = log_softmax(logits, 1)
    return -(target * (1 - log_p.exp()) ** _FOCUS * log_p)


def _softmax_squared(logits: Tensor, target: Tensor) -> Tensor:
    """Brier score."""
    return (logits.softmax(1) - target).square()


def _binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return binary_cross_entropy_with_logits(logits, target, reduction="none")


def _focal(logits: Tensor, target: Tensor) -> Tensor:
    """|target - p|^gamma BCE: for hard labels the focal loss, defined for soft ones."""
    far = (target - logits.sigmoid()).abs()
    return far**_FOCUS * _binary_cross_entropy(logits, target)


def _squared(logits: Tensor, target: Tensor) -> Tensor:
    """Mean squared error of the probability."""
    return (logits.sigmoid() - target).square()


def _asymmetric(logits: Tensor, target: Tensor) -> Tensor:
    """Easy negatives count little, and those below the shift not at all."""
    p = logits.sigmoid()
    shifted = (p - _SHIFT).clamp(min=0)
    positive = target * (1 - p) ** _FOCUS_POSITIVE * logsigmoid(logits)
    negative = (1 - target) * shifted**_FOCUS_NEGATIVE * torch.log1p(-shifted)
    return -(positive + negative)


def _auc_margin(logits: Tensor, target: Tensor, cells: Tensor) -> Tensor:
    """Min-max AUC margin loss, mean over the classes.

    With a and b the means of the scores of positives and negatives and alpha = max(0,
    margin + b - a), the values at which the saddle point of the batch lies, the loss is
    the variance within either plus alpha squared: stateless, so a run resumes. A class
    that lacks positives or negatives in the batch gives nothing.
    """
    scores = logits.sigmoid()  # (batch, classes)
    a, spread_a, n_a = _moments(scores, cells * target)
    b, spread_b, n_b = _moments(scores, cells * (1 - target))
    both = ((n_a > 0) & (n_b > 0)).float()
    each = spread_a + spread_b + (_MARGIN + b - a).clamp(min=0).square()
    return (each * both).sum() / both.sum().clamp(min=1)


def _hierarchical(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    parents: Sequence[int],
    smoothing: float,
) -> Tensor:
    """Conditional binary cross-entropy: each class where its parent is true.

    target: of the class itself, NaN where unknown. A class counts as much as its parent
    is true: with soft labels t and t' of class and parent, the loss of the conditional
    logit z is -t log s(z) - (t' - t) log s(-z). A class that is true makes an unknown
    parent true; one that is not says nothing below an unknown parent.
    """
    above = _above(target, parents)
    known = ~(target.isnan() | above.isnan())
    above = above.nan_to_num(0.0)
    true = torch.minimum(target.nan_to_num(0.0), above)
    true = true * (1 - smoothing) + above * smoothing / 2
    each = -(true * logsigmoid(logits) + (above - true) * logsigmoid(-logits))
    cells = known.float() * weight[:, None]
    return (each * cells).sum() / (above * cells).sum().clamp(min=1)


def _above(target: Tensor, parents: Sequence[int]) -> Tensor:
    """How true the parent of each class is, (batch, classes); 1 at the top."""
    found = torch.ones_like(target)
    for index, parent in enumerate(parents):
        if parent >= 0:
            implied = torch.where(target[:, index] == 1, 1.0, torch.nan)
            over = target[:, parent]
            found[:, index] = torch.where(over.isnan(), implied, over)
    return found


def _moments(scores: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted mean and variance of each class, and its sum of weights."""
    total = weight.sum(0)
    mean = (scores * weight).sum(0) / total.clamp(min=1e-6)
    spread = ((scores - mean).square() * weight).sum(0) / total.clamp(min=1e-6)
    return mean, spread, total


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "softmax_focal": _softmax_focal,
    "softmax_squared": _softmax_squared,
    "binary_cross_entropy": _binary_cross_entropy,
    "focal": _focal,
    "squared": _squared,
    "asymmetric": _asymmetric,
}
_OF_BATCHES = ("auc_margin", "hierarchical")
_OF_SOFTMAX = frozenset({"cross_entropy", "softmax_focal", "softmax_squared"})
