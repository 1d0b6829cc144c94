"""Classes that are kinds of other classes (edema is a kind of lung opacity).

Conditional training (Pham et al., arXiv 1911.06475): a class is learned where its
parent is true; its own probability is the product along the path to the top.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

_LARGEST = 1 - 1e-7  # in float32 the logit of 1 is infinite


def composed(logits: Tensor, parents: Sequence[int]) -> Tensor:
    """Logits given the parents, (batch, classes) -> logits of the class itself."""
    paths = torch.tensor(_paths(parents), device=logits.device, dtype=torch.float32)
    p = (logsigmoid(logits.float()) @ paths.T).exp().clamp(max=_LARGEST)
    return (p.log() - (1 - p).log()).to(logits.dtype)


def check(head: str, activation: str, parents: Sequence[int], n_classes: int) -> None:
    """Raise ValueError when these cannot be the parents of the classes."""
    if activation != "sigmoid":
        raise ValueError(f"head {head}: only sigmoid classes have parents: remove them")
    if len(parents) != n_classes or not all(-1 <= p < n_classes for p in parents):
        raise ValueError(f"head {head}: each class needs the index of a parent or -1")
    _paths(parents)


def _paths(parents: Sequence[int]) -> list[list[float]]:
    """For each class, 1 for itself and all above it."""
    found = []
    for start in range(len(parents)):
        path, at = [0.0] * len(parents), start
        while at >= 0:
            if path[at]:
                raise ValueError("a class is its own ancestor: correct the parents")
            path[at] = 1.0
            at = parents[at]
        found.append(path)
    return found
