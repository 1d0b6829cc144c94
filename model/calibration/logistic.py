"""Logistic regression on one variable, by Newton's method, and what it is used for.

As a report: calibration slope and intercept of the logit of the probabilities (1 and 0
when they mean what they say; Cox, Biometrika 1958;45:562-565). As a correction: Platt's
scaling, for heads with enough images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

ENOUGH_FOR_PLATT = 300
_STEPS = 60
_SETTLED = 1e-10
_STEEPEST = 1e3
_SMALLEST = 1e-12


class Line(NamedTuple):
    """logit of the probability = intercept + slope * x."""

    slope: float
    intercept: float

    def probabilities(self, x: Vector) -> Vector:
        """Of each x."""
        return sigmoid(self.intercept + self.slope * x)


def logit(probabilities: Vector) -> Vector:
    """Log odds; 0 and 1 are taken as 1e-12 away."""
    p = np.clip(probabilities, _SMALLEST, 1 - _SMALLEST)
    return np.asarray(np.log(p / (1 - p)))


def sigmoid(x: Vector) -> Vector:
    """Probability of log odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -700, 700))))


def slope_and_intercept(probabilities: Vector, positive: Vector) -> Line:
    """Calibration slope, and the intercept with the slope held at 1.

    NaN for what has no finite best value: one class only, or a slope where the classes
    are perfectly separated.
    """
    x = logit(probabilities)
    slope = _newton(np.stack([np.ones_like(x), x], 1), np.zeros_like(x), positive)[1]
    intercept = _newton(np.ones((len(x), 1)), x, positive)[0]
    return Line(float(slope), float(intercept))


def fit_platt(logits: Vector, positive: Vector) -> Line:
    """Platt's scaling, with his smoothed targets, so that it is finite in any case.

    Raises ValueError below 300 images, where it does more harm than good.
    """
    n, n_positive = len(logits), float(positive.sum())
    if n < ENOUGH_FOR_PLATT:
        raise ValueError(
            f"Platt scaling needs {ENOUGH_FOR_PLATT} images, here are {n}: use"
            " fit_temperature"
        )
    high, low = (n_positive + 1) / (n_positive + 2), 1 / (n - n_positive + 2)
    target = np.where(positive > 0, high, low)
    design = np.stack([np.ones(n), logits], 1)
    intercept, slope = _newton(design, np.zeros(n), target)
    return Line(float(slope), float(intercept))


def _newton(design: Vector, offset: Vector, target: Vector) -> Vector:
    """Maximum likelihood; NaN where the steps do not settle."""
    beta = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = sigmoid(design @ beta + offset)
        gradient = design.T @ (target - p)
        curvature = (design * (p * (1 - p))[:, None]).T @ design
        if np.linalg.cond(curvature) > 1 / np.finfo(float).eps:
            break
        step = np.linalg.solve(curvature, gradient)
        beta = beta + step
        if np.abs(step).max() < _SETTLED:
            return beta
        if np.abs(beta).max() > _STEEPEST:
            break
    return np.full(design.shape[1], np.nan)
