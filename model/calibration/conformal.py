"""Sets and triage with a guarantee that needs no belief in the probabilities.

What it needs is exchangeability: the images to come are drawn as the calibration
images were. At another hospital they are not; calibrate again with local images.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]
    Classes = NDArray[np.int64]
    Truth = NDArray[np.bool_]

LOW, UNCERTAIN, HIGH = -1, 0, 1
_GRID = 199
_TINY = 1e-9


def class_quantiles(probabilities: Matrix, classes: Classes, miss: float) -> Vector:
    """Largest 1 - p that a class may have and still be in the set: (classes,).

    Class-conditional split conformal (LAC; Sadinle, Lei and Wasserman, JASA
    2019;114:223-234): each true class is in the set of at least 1 - miss of its
    images, the rare class as well as the common one. probabilities: (n, classes) of
    held-out images, classes: the true one of each. With too few images of a class its
    quantile is infinite: it is then in every set.
    """
    quantiles = np.full(probabilities.shape[1], np.inf)
    for index in range(len(quantiles)):
        strange = np.sort(1 - probabilities[classes == index, index])
        rank = math.ceil((len(strange) + 1) * (1 - miss))
        if rank <= len(strange):
            quantiles[index] = strange[rank - 1]
    return quantiles


def prediction_sets(probabilities: Matrix, quantiles: Vector) -> Truth:
    """(n, classes): which classes each set holds. An empty set is as uncertain as a
    full one: see `certain`.
    """
    return np.asarray(1 - probabilities <= quantiles)


def certain(sets: Truth) -> Truth:
    """(n,): sets of exactly one class."""
    return np.asarray(sets.sum(1) == 1)


def coverage(sets: Truth, classes: Classes) -> Vector:
    """Share of each class's images whose set holds it: (classes,); NaN without any."""
    n_classes = sets.shape[1]
    own = sets[np.arange(len(classes)), classes]
    counts = np.bincount(classes, minlength=n_classes).astype(np.float64)
    hits = np.bincount(classes, weights=own, minlength=n_classes)
    return np.asarray(np.where(counts > 0, hits / np.maximum(counts, 1), np.nan))


class Triage(NamedTuple):
    """At or below `low`: low. At or above `high`: high. Between: uncertain.

    With confidence 1 - risk each, the negative predictive value among low and the
    positive predictive value among high are at least as asked. A bound that could not
    be shown is infinite: nothing is low, or nothing is high.
    """

    low: float
    high: float

    def __call__(self, probabilities: Vector) -> NDArray[np.int64]:
        """-1 low, 0 uncertain, 1 high."""
        high = np.where(probabilities >= self.high, HIGH, UNCERTAIN)
        return np.asarray(np.where(probabilities <= self.low, LOW, high))


def fit_triage(
    probabilities: Vector, positive: Truth, *, npv: float, ppv: float, risk: float = 0.1
) -> Triage:
    """The widest low and high groups whose predictive values are shown to hold.

    Learn then test (Angelopoulos, Bates, Candes, Jordan and Lei 2021, arXiv
    2110.01052): thresholds on a fixed grid are tested from the strictest on, by the
    exact binomial test, until one fails; testing starts where there are enough images
    for a test to succeed at all, which the labels have no part in. Raises ValueError
    for values that are not between 0 and 1.
    """
    if not (0 < npv < 1 and 0 < ppv < 1 and 0 < risk < 1):
        raise ValueError("npv, ppv and risk lie between 0 and 1: give them as shares")
    high = _widest(probabilities, positive, (ppv, risk))
    # Where both claims hold the image is called high: the low group ends below it.
    low = 1 - _widest(1 - probabilities, ~positive, (npv, risk), above=1 - high)
    return Triage(low, high)


def _widest(
    scores: Vector, right: Truth, claim: tuple[float, float], above: float = -math.inf
) -> float:
    """Lowest grid threshold, above a bound, at which the claim is shown; else infinite.

    claim: the share that is right, and the risk of claiming it wrongly.
    """
    target, risk = claim
    enough = math.ceil(math.log(risk) / math.log(target))
    shown = math.inf
    for threshold in np.linspace(1, 0, _GRID + 2)[1:-1]:
        if threshold <= above + _TINY:
            break
        chosen = scores >= threshold
        n = int(chosen.sum())
        if n < enough:
            continue
        if binomial_tail(int(right[chosen].sum()), n, target) > risk:
            break
        shown = float(threshold)
    return shown


def binomial_tail(hits: int, n: int, share: float) -> float:
    """Probability of at least `hits` of `n` when each is true with `share`."""
    k = np.arange(hits, n + 1)
    logs = [
        math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
        for i in k.tolist()
    ]
    terms = np.array(logs) + k * math.log(share) + (n - k) * math.log1p(-share)
    return float(min(1.0, np.exp(terms).sum()))
