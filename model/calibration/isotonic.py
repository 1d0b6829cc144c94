"""Isotonic calibration, and the correction for another prevalence."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.calibration.logistic import logit, sigmoid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

ENOUGH_FOR_ISOTONIC = 1000
_STEPS = 1000
_SETTLED = 1e-9


class Steps(NamedTuple):
    """A rising function by its knots, straight between them and flat outside."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def probabilities(self, x: Vector) -> Vector:
        """Of each x."""
        return np.asarray(np.interp(x, self.x, self.y))


def fit_isotonic(scores: Vector, positive: Vector) -> Steps:
    """The rising function of least squares, by pooling adjacent violators.

    Raises ValueError below 1,000 images: it has as many free values as it finds steps,
    and follows the noise of a small set.
    """
    if len(scores) < ENOUGH_FOR_ISOTONIC:
        raise ValueError(
            f"isotonic calibration needs {ENOUGH_FOR_ISOTONIC} images, here are"
            f" {len(scores)}: use fit_platt or fit_temperature"
        )
    x, member, weight = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(member, weights=positive) / weight
    values, sizes = _pool(means.tolist(), weight.tolist())
    ends = np.cumsum(sizes)
    knots = sorted({*(ends - 1).tolist(), *(ends - sizes).tolist()})
    fitted = np.repeat(values, sizes)
    return Steps(tuple(x[knots].tolist()), tuple(fitted[knots].tolist()))


def _pool(means: list[float], weights: list[int]) -> tuple[list[float], list[int]]:
    """Value of each block, and of how many distinct scores it is."""
    blocks: list[tuple[float, int, int]] = []  # value, images, distinct scores
    for mean, weight in zip(means, weights, strict=True):
        value, images, size = mean, weight, 1
        while blocks and blocks[-1][0] >= value:
            before, n, m = blocks.pop()
            value = (before * n + value * images) / (n + images)
            images, size = images + n, size + m
        blocks.append((value, images, size))
    return [block[0] for block in blocks], [block[2] for block in blocks]


def shift_prior(probabilities: Vector, trained: float, local: float) -> Vector:
    """Probabilities for a place where the prevalence is another one.

    Multiplies the odds by the ratio of the prior odds; right when only the prevalence
    differs and the positives and negatives themselves look alike. Raises ValueError
    for a prevalence that is not between 0 and 1.
    """
    if not (0 < trained < 1 and 0 < local < 1):
        raise ValueError("a prevalence lies between 0 and 1: give shares, not counts")
    change = np.log(local / (1 - local)) - np.log(trained / (1 - trained))
    return sigmoid(logit(probabilities) + change)


def local_prevalence(probabilities: Vector, trained: float) -> float:
    """Prevalence of images without labels, from their probabilities alone.

    Expectation maximisation of Saerens, Latinne and Decaestecker, Neural Computation
    2002;14:21-41. As trustworthy as the probabilities are calibrated.
    """
    found = trained
    for _ in range(_STEPS):
        before = min(max(found, _SETTLED), 1 - _SETTLED)
        found = float(shift_prior(probabilities, trained, before).mean())
        if abs(found - before) < _SETTLED:
            break
    return found
