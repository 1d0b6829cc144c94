"""Maps at the resolution of the input: integrated gradients and occlusion.

Sundararajan, Taly and Yan, ICML 2017; Zeiler and Fergus, ECCV 2014.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from model.explain.target import Target
    from model.network import Classifier

_BATCH = 16


def integrated_gradients(
    network: Classifier, image: Tensor, target: Target, *, steps: int = 64
) -> Tensor:
    """(1, 1, N, N) -> (N, N): each pixel's share of target(image) - target(baseline).

    The baseline is 0 everywhere, which is each image's own mean: neither black nor
    white. The shares add up to the difference (completeness) as well as `steps` of
    Gauss-Legendre quadrature can tell.
    """
    places, weights = np.polynomial.legendre.leggauss(steps)
    alphas = torch.from_numpy((places + 1) / 2).to(image)
    shares = torch.from_numpy(weights / 2).to(image)
    total = torch.zeros_like(image[0, 0])
    for start in range(0, steps, _BATCH):
        part = slice(start, start + _BATCH)
        along = (alphas[part, None, None, None] * image.detach()).requires_grad_()
        (gradient,) = torch.autograd.grad(target(network, along).sum(), along)
        total += (shares[part, None, None] * gradient[:, 0]).sum(0)
    return total * image.detach()[0, 0]


def occlusion(
    network: Classifier,
    image: Tensor,
    target: Target,
    *,
    window: int = 16,
    stride: int = 8,
) -> Tensor:
    """(1, 1, N, N) -> (N, N): by how much the target falls when a place is covered.

    Every position of a square window is covered with 0, the image's mean; a pixel gets
    the mean over the windows that cover it. Raises ValueError when the stride leaves
    pixels between the windows.
    """
    if not 0 < stride <= window <= image.shape[-1]:
        raise ValueError("occlusion needs 0 < stride <= window <= side: change them")
    side = image.shape[-1]
    fall, covered = torch.zeros(side, side), torch.zeros(side, side)
    with torch.inference_mode():
        whole = float(target(network, image)[0])
        for places in _windows(side, window, stride):
            batch = image.repeat(len(places), 1, 1, 1)
            for one, (rows, columns) in zip(batch, places, strict=True):
                one[:, rows, columns] = 0
            left = target(network, batch).cpu()
            for value, (rows, columns) in zip(left, places, strict=True):
                fall[rows, columns] += whole - value
                covered[rows, columns] += 1
    return fall / covered


def _windows(
    side: int, window: int, stride: int
) -> Iterator[list[tuple[slice, slice]]]:
    """Positions in batches; the last window of a row ends at the border."""
    starts = sorted({*range(0, side - window, stride), side - window})
    places = [
        (slice(top, top + window), slice(left, left + window))
        for top in starts
        for left in starts
    ]
    for start in range(0, len(places), _BATCH):
        yield places[start : start + _BATCH]
