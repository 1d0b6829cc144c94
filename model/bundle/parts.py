"""What of a bundle computes, and what its network says of one image."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle import addendum as addenda
    from model.bundle.domain import Domain, Judged
    from model.bundle.engine import Engine, Prepared
    from model.network import Head


@dataclass(frozen=True)
class Parts:
    """Everything that computes: engine, temperature of each head, domain.

    sources: sources whose labels each head was trained on; none named means all.
    biases: of the heads that a site has calibrated, added after the temperature.
    example: the image of the test vector, display pixels.
    """

    engine: Engine
    temperatures: dict[str, float]
    domain: Domain
    sources: dict[str, frozenset[str]]
    biases: dict[str, Tensor] = field(default_factory=dict)
    example: NDArray[np.float32] | None = None

    def knows(self, head: str) -> list[bool]:
        """For each kind of the domain, whether this head was trained on it."""
        named = self.sources[head]
        return [not named or source in named for source in self.domain.sources]

    def judges(self, head: str, where: Judged) -> bool:
        """Whether this head knows such images, from home or from the site's labels."""
        return self.knows(head)[where.kind] or (where.at_site and head in self.biases)

    def probabilities(self, head: Head, logits: Tensor) -> Tensor:
        """(batch, classes) -> (batch, classes), calibrated."""
        scaled = logits / self.temperatures[head.name]
        bias = self.biases.get(head.name)
        return head.probabilities(scaled if bias is None else scaled + bias)

    def at_site(self, found: addenda.Addendum) -> Parts:
        """With a site's calibration and domain; ValueError when it does not fit."""
        biases = {name: torch.tensor(one.bias) for name, one in found.heads.items()}
        heads = {one.name: len(one.classes) for one in self.engine.network.layout}
        if any(len(bias) != heads.get(name) for name, bias in biases.items()):
            raise ValueError("the site addendum has not one bias for each class")
        if len(found.domain_mean) != self.domain.means.shape[1]:
            raise ValueError("the site addendum has another domain dimension")
        temperatures = {name: one.temperature for name, one in found.heads.items()}
        return replace(
            self,
            temperatures={**self.temperatures, **temperatures},
            biases=biases,
            domain=replace(
                self.domain,
                site_mean=torch.tensor(found.domain_mean),
                site_limit=found.domain_limit,
            ),
        )


@dataclass(frozen=True)
class Inferred:
    """What the network said of one image.

    logits: head name -> (classes,). planes: (labels, n, n) in [0, 1], what speaks for
    each label, and where. where: as the domain judges.
    """

    logits: dict[str, Tensor]
    planes: Tensor
    where: Judged
    image: Prepared
