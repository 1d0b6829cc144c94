"""The number that a map explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from model.network import Classifier, Head


@dataclass(frozen=True)
class Target:
    """One class of one head."""

    head: Head
    index: int

    def of(self, logits: dict[str, Tensor]) -> Tensor:
        """(batch,): the class's logit, of a softmax over the mean of the others.

        A softmax does not change when the same is added to all logits, so a map of the
        bare logit would show what speaks for every class at once.
        """
        mine = logits[self.head.name]
        own = mine[:, self.index]
        if self.head.activation == "sigmoid":
            return own
        return own - (mine.sum(1) - own) / (mine.shape[1] - 1)

    def __call__(self, network: Classifier, images: Tensor) -> Tensor:
        """(batch, 1, N, N) -> (batch,)."""
        return self.of(network(images).logits)

    def probability(self, network: Classifier, images: Tensor) -> Tensor:
        """(batch, 1, N, N) -> (batch,): probability of the class, not calibrated."""
        with torch.inference_mode():
            logits = network(images).logits[self.head.name]
            return self.head.probabilities(logits)[:, self.index]
