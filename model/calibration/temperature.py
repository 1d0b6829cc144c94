"""Temperature: one number per head that makes its probabilities mean what they say.

With fewer than about 300 validation images anything richer does harm (a bias beside
the temperature raised the calibration error on 109 images), so it is what bundles have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.network import Activation

    Matrix = NDArray[np.float64]

_GOLDEN = (5**0.5 - 1) / 2
_LOWEST, _HIGHEST = np.log(0.5), np.log(5.0)
_STEPS = 60


def probabilities(logits: Matrix, activation: Activation, temperature: float) -> Matrix:
    """(n, classes) -> (n, classes)."""
    scaled = np.asarray(logits, np.float64) / temperature
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(scaled, -700, 700))))
    raised = np.exp(scaled - scaled.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))


def loss(
    logits: Matrix, target: Matrix, activation: Activation, temperature: float
) -> float:
    """Mean negative log likelihood. target: (n, classes) of 0 and 1."""
    p = np.clip(probabilities(logits, activation, temperature), 1e-12, 1 - 1e-12)
    if activation == "softmax":
        return float(-(target * np.log(p)).sum(1).mean())
    return float(-(target * np.log(p) + (1 - target) * np.log(1 - p)).mean())


def fit_temperature(logits: Matrix, target: Matrix, activation: Activation) -> float:
    """The temperature in [0.5, 5] of least loss, by golden-section search.

    The loss is convex in 1 / temperature, so it has one minimum. Perfectly separated
    data have theirs at the lower bound; the bound keeps probabilities from being
    driven to 0 and 1 by a handful of images.
    """
    low, high = float(_LOWEST), float(_HIGHEST)

    def at(position: float) -> float:
        return loss(logits, target, activation, float(np.exp(position)))

    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if at(left) <= at(right):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def cross_fitted(
    logits: Matrix, target: Matrix, activation: Activation, patients: Sequence[str]
) -> Matrix:
    """Probabilities whose temperature never saw the patient: two halves of patients.

    For reporting calibration on the very images that the shipped temperature was
    fitted on.
    """
    order = {patient: i for i, patient in enumerate(sorted(set(patients)))}
    half = np.array([order[patient] % 2 for patient in patients])
    fitted = np.empty_like(np.asarray(logits, np.float64))
    for side in (0, 1):
        other = half != side
        temperature = fit_temperature(logits[other], target[other], activation)
        fitted[~other] = probabilities(logits[~other], activation, temperature)
    return fitted
