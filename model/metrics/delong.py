"""DeLong's variance of one AUROC and of the difference of two on the same images.

DeLong, DeLong and Clarke-Pearson, Biometrics 1988;44:837-845; computed by ranks as in
Sun and Xu, IEEE Signal Processing Letters 2014;21:1389-1393.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from model.metrics.figure import Z95
from model.metrics.ranks import auroc, midranks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_LEAST = 2  # a variance needs two of each class


def placements(
    scores: Vector, positive: NDArray[np.bool_]
) -> tuple[Vector, Vector, float]:
    """Share of negatives below each positive, of positives above each negative, AUROC.

    Each share counts ties half; the mean of either is the AUROC.
    """
    x, y = scores[positive], scores[~positive]
    ranks = midranks(scores)
    of_positives = (ranks[positive] - midranks(x)) / len(y)
    of_negatives = 1 - (ranks[~positive] - midranks(y)) / len(x)
    return of_positives, of_negatives, float(of_positives.mean())


def delong(scores: Vector, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """AUROC and its variance; the variance is NaN with fewer than two of a class."""
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < _LEAST:
        return auroc(scores, positive), math.nan
    of_positives, of_negatives, area = placements(scores, positive)
    variance = of_positives.var(ddof=1) / m + of_negatives.var(ddof=1) / n
    return area, float(variance)


def delong_interval(scores: Vector, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """95 % interval of the AUROC on the logit scale, so that it stays within [0, 1].

    At AUROC 1 (or 0) DeLong's variance is 0 and says nothing; the interval is then
    that of the rule of three on the smaller class.
    """
    area, variance = delong(scores, positive)
    if math.isnan(variance):
        return math.nan, math.nan
    if variance == 0 or area in (0.0, 1.0):
        smaller = min(int(positive.sum()), int((~positive).sum()))
        slack = min(1.0, 3 / smaller)
        return max(0.0, area - slack), min(1.0, area + slack)
    centre = math.log(area / (1 - area))
    half = Z95 * math.sqrt(variance) / (area * (1 - area))
    return _expit(centre - half), _expit(centre + half)


def delong_paired(
    first: Vector, second: Vector, positive: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """AUROC of first minus second, its standard error, and the two-sided p value.

    Where the two rank alike the standard error is 0 and p is 1. NaN with fewer than
    two of a class. Images of one patient count as independent here: read it beside the
    paired bootstrap over patients.
    """
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < _LEAST:
        return math.nan, math.nan, math.nan
    mine, theirs = placements(first, positive), placements(second, positive)
    difference = mine[2] - theirs[2]
    variance = (mine[0] - theirs[0]).var(ddof=1) / m
    variance += (mine[1] - theirs[1]).var(ddof=1) / n
    error = math.sqrt(variance)
    return difference, error, two_sided(difference, error)


def two_sided(difference: float, error: float) -> float:
    """p value of a normal difference from zero."""
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    return math.erfc(abs(difference / error) / math.sqrt(2))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x))
