"""Several networks, or several looks at an image: one answer and its uncertainty.

Lakshminarayanan et al., NeurIPS 2017 (deep ensembles). Total uncertainty is the entropy
of the mean prediction; mutual information is the part of it that is disagreement
(Houlsby et al. 2011, arXiv 1112.5745), which more training images could remove.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from model.bundle.serve import Engine
    from model.network import Head

    Image = NDArray[np.float32]


class Look(NamedTuple):
    """A small change that leaves the answer as it is: turn, size, grey curve."""

    degrees: float = 0.0
    zoom: float = 1.0
    gamma: float = 1.0

    def __call__(self, image: Image) -> Image:
        """Display pixels (rows, columns) in [0, 1] -> the same shape and range."""
        if self == Look():
            return image
        rows, columns = image.shape
        angle = math.radians(self.degrees)
        cos, sin = math.cos(angle) / self.zoom, math.sin(angle) / self.zoom
        # the grid runs from -1 to 1 on both sides, so a turn must undo the aspect
        theta = torch.tensor(
            [[cos, -sin * rows / columns, 0], [sin * columns / rows, cos, 0]]
        )
        shape = [1, 1, rows, columns]
        grid = affine_grid(theta[None], shape, align_corners=False)
        plane = torch.from_numpy(np.ascontiguousarray(image))[None, None]
        seen = grid_sample(plane, grid, padding_mode="border", align_corners=False)
        grey = seen[0, 0].clamp(0, 1) ** self.gamma
        return np.asarray(grey.numpy(), np.float32)


# No mirror: it swaps the sides of the heart, and marker letters.
LOOKS = (
    Look(),
    Look(degrees=3),
    Look(degrees=-3),
    Look(zoom=1.05),
    Look(gamma=0.85),
    Look(gamma=1.18),
)


@dataclass(frozen=True)
class Combined:
    """Of one head. logits: (batch, classes), the mean over members.

    entropy: of the mean probability, in nats. mutual_information: the part of it that
    is disagreement, from 0 to entropy. Both (batch,) for a head of which exactly one
    class is true, else (batch, classes).
    """

    logits: Tensor
    entropy: Tensor
    mutual_information: Tensor


def ensemble(
    engines: Sequence[Engine],
    images: Sequence[Image],
    looks: Sequence[Look] = (Look(),),
) -> dict[str, Combined]:
    """Head name -> answer of every engine on every look, combined.

    images: display pixels. Raises ValueError when there is no engine or look, or the
    engines do not answer the same questions.
    """
    if not engines or not looks:
        raise ValueError("an ensemble needs a network and a look: give one of each")
    layout = engines[0].network.layout
    if any(engine.network.layout != layout for engine in engines):
        raise ValueError(
            "these networks answer different questions: combine those of one recipe"
        )
    outputs = [
        engine.run([look(image) for image in images]).logits
        for engine in engines
        for look in looks
    ]
    return {
        head.name: combine(head, torch.stack([one[head.name] for one in outputs]))
        for head in layout
    }


def combine(head: Head, logits: Tensor) -> Combined:
    """(members, batch, classes) -> mean of logits and uncertainty over members."""
    probabilities = torch.stack([head.probabilities(one.double()) for one in logits])
    total = _entropy(head, probabilities.mean(0))
    within = torch.stack([_entropy(head, one) for one in probabilities]).mean(0)
    return Combined(logits.mean(0), total, (total - within).clamp(min=0))


def _entropy(head: Head, p: Tensor) -> Tensor:
    """In nats; 0 where a probability is 0 or 1."""
    of_each: Tensor = torch.special.entr(p)
    if head.activation == "softmax":
        return of_each.sum(1)
    of_none: Tensor = torch.special.entr(1 - p)
    return of_each + of_none
