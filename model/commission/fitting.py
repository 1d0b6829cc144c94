"""Calibration of one question from a few local images.

The network's score s (a log-odds) becomes p = sigmoid(slope * s + bias). Both classes
get the same total weight, so p = 0.5 lies where the shares of mistakes in both classes
are equal, whatever the mix of the labelled images. Below ENOUGH_FOR_SLOPE images only
the bias (the threshold) is fitted; above, the slope too, held near the home slope by a
log-normal prior. Targets are smoothed as by Platt (1999), so that a few separable
images do not make certainty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Answers = NDArray[np.bool_]

LEAST_IMAGES, LEAST_OF_EACH = 20, 5
ENOUGH_FOR_SLOPE, ENOUGH_OF_EACH = 40, 10
_SLOPE_DEVIATION = 0.7
_GOLDEN = (5**0.5 - 1) / 2
_STEPS = 40
_FOLDS = 5


@dataclass(frozen=True)
class Line:
    """p = sigmoid(slope * score + bias); method: what of it was fitted."""

    slope: float
    bias: float
    method: str

    def probability(self, score: Vector) -> Vector:
        """(n,) -> (n,)."""
        return _sigmoid(self.slope * score + self.bias)


def enough(positive: Answers) -> bool:
    """Whether there are enough images, and enough of each answer."""
    return len(positive) >= LEAST_IMAGES and _smaller(positive) >= LEAST_OF_EACH


def fit_line(
    score: Vector, positive: Answers, home_slope: float, *, may_slope: bool = True
) -> Line:
    """Most probable slope and bias given the local answers.

    may_slope: False where the slope is shared with other questions of the head.
    """
    few = len(score) < ENOUGH_FOR_SLOPE or _smaller(positive) < ENOUGH_OF_EACH
    if few or not may_slope:
        return Line(home_slope, _fit_bias(score, positive, home_slope), "threshold")

    def at(position: float) -> float:
        slope = home_slope * float(np.exp(position))
        bias = _fit_bias(score, positive, slope)
        return _loss(score, positive, slope, bias) + _prior(position)

    slope = home_slope * float(np.exp(_minimum(at, -4 * _SLOPE_DEVIATION, 2.0)))
    bias = _fit_bias(score, positive, slope)
    return Line(slope, bias, "slope and threshold")


def cross_fitted(
    score: Vector,
    positive: Answers,
    patients: Sequence[str],
    home_slope: float,
    *,
    may_slope: bool = True,
) -> Vector:
    """Probabilities whose line never saw the patient: five groups of patients.

    Patients are dealt out in turn, each answer on its own, so that every group has
    both.
    """
    group = _groups(positive, patients)
    found = np.empty(len(score))
    for fold in range(_FOLDS):
        rest = group != fold
        line = fit_line(score[rest], positive[rest], home_slope, may_slope=may_slope)
        found[~rest] = line.probability(score[~rest])
    return found


def _groups(positive: Answers, patients: Sequence[str]) -> NDArray[np.int64]:
    first: dict[str, bool] = {}
    for patient, answer in zip(patients, positive.tolist(), strict=True):
        first.setdefault(patient, answer)
    order = sorted(first, key=lambda patient: (first[patient], patient))
    group = {patient: index % _FOLDS for index, patient in enumerate(order)}
    return np.array([group[patient] for patient in patients])


def _smaller(positive: Answers) -> int:
    return int(min(positive.sum(), (~positive).sum()))


def _prior(position: float) -> float:
    return 0.5 * (position / _SLOPE_DEVIATION) ** 2


def _targets_and_weights(positive: Answers) -> tuple[Vector, Vector]:
    n_yes, n_no = int(positive.sum()), int((~positive).sum())
    target = np.where(positive, (n_yes + 1) / (n_yes + 2), 1 / (n_no + 2))
    weight = np.where(positive, 0.5 / max(1, n_yes), 0.5 / max(1, n_no))
    return target, weight * len(positive)


def _loss(score: Vector, positive: Answers, slope: float, bias: float) -> float:
    target, weight = _targets_and_weights(positive)
    z = slope * score + bias
    # -log sigmoid(z) and -log sigmoid(-z), without overflow
    yes, no = np.logaddexp(0, -z), np.logaddexp(0, z)
    return float((weight * (target * yes + (1 - target) * no)).sum())


def _fit_bias(score: Vector, positive: Answers, slope: float) -> float:
    """The loss is convex in the bias: halve the interval on the sign of its slope."""
    target, weight = _targets_and_weights(positive)
    z = slope * score
    low, high = float(-z.max()) - 10, float(-z.min()) + 10
    for _ in range(2 * _STEPS):
        middle = (low + high) / 2
        if (weight * (_sigmoid(z + middle) - target)).sum() > 0:
            high = middle
        else:
            low = middle
    return (low + high) / 2


def _minimum(at: Callable[[float], float], low: float, high: float) -> float:
    """Golden-section search."""
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if at(left) <= at(right):
            high = right
        else:
            low = left
    return (low + high) / 2


def _sigmoid(z: Vector) -> Vector:
    return np.asarray(1 / (1 + np.exp(-np.clip(z, -700, 700))))
