"""Do probabilities mean what they say? Brier, equal-mass ECE and reliability points."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from model.metrics.figure import DRAWS, Figure, bootstrap, drawn_figure, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

BINS = 10


class Bin(NamedTuple):
    """One part of a reliability plot: mean probability, share true and its Wilson
    interval, number of images.
    """

    probability: float
    share: float
    low: float
    high: float
    n: int


def equal_mass(probabilities: Vector, bins: int = BINS) -> list[NDArray[np.int64]]:
    """Row indices sorted by probability, cut into parts of equal size."""
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return [part for part in parts if len(part)]


def calibration_error(
    probabilities: Vector, positive: Vector, bins: int = BINS
) -> float:
    """Expected calibration error over bins of equal mass (sorted, then split)."""
    gaps = [
        len(part) * abs(probabilities[part].mean() - positive[part].mean())
        for part in equal_mass(probabilities, bins)
    ]
    return float(sum(gaps) / len(probabilities))


def brier(probabilities: Vector, positive: Vector) -> float:
    """Mean squared distance of the probability from what was true."""
    return float(np.square(probabilities - positive).mean())


def brier_figure(
    probabilities: Vector,
    positive: Vector,
    patients: Sequence[str],
    *,
    draws: int = DRAWS,
) -> Figure:
    """Brier score with the patients' bootstrap interval."""
    return drawn_figure(
        lambda rows: brier(probabilities[rows], positive[rows]), patients, draws=draws
    )


def reliability(probabilities: Vector, positive: Vector, bins: int = BINS) -> list[Bin]:
    """The points of a reliability plot over bins of equal mass."""
    return [
        _bin(probabilities[part], positive[part])
        for part in equal_mass(probabilities, bins)
    ]


def _bin(probabilities: Vector, positive: Vector) -> Bin:
    n = len(probabilities)
    low, high = wilson(round(float(positive.sum())), n)
    return Bin(float(probabilities.mean()), float(positive.mean()), low, high, n)


def top_class(probabilities: Vector, target: Vector) -> tuple[Vector, Vector]:
    """(n, classes) twice -> probability of the most probable class, and its truth."""
    rows, top = np.arange(len(probabilities)), probabilities.argmax(1)
    return probabilities[rows, top], target[rows, top]


def calibration_figure(
    probabilities: Vector,
    positive: Vector,
    patients: Sequence[str],
    *,
    draws: int = DRAWS,
) -> Figure:
    """Equal-mass ECE with the patients' bootstrap interval."""

    def of(rows: NDArray[np.int64]) -> float:
        return calibration_error(probabilities[rows], positive[rows])

    low, high = bootstrap(of, patients, draws=draws)
    value = calibration_error(probabilities, positive)
    # Drawing again adds noise, and noise only ever adds to this error.
    return Figure(
        value,
        min(low, value),
        max(high, value),
        len(probabilities),
        len(set(patients)),
    )
