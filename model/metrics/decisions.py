"""What follows from a threshold: the rates at it, its choice and its worth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from model.metrics.figure import (
    DRAWS,
    Figure,
    bootstrap,
    percentile_interval,
    resamples,
)
from model.metrics.figure import wilson as wilson_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Truth = NDArray[np.bool_]

Rule = Literal["youden", "sensitivity", "specificity", "max-f1", "cost"]


class Counts(NamedTuple):
    """Images by what was said and what was true."""

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int


def counts(scores: Vector, positive: Truth, threshold: float) -> Counts:
    """Counts where a score at or above the threshold says positive."""
    said = scores >= threshold
    return Counts(
        int((said & positive).sum()),
        int((said & ~positive).sum()),
        int((~said & ~positive).sum()),
        int((~said & positive).sum()),
    )


def rates(
    scores: Vector,
    positive: Truth,
    patients: Sequence[str],
    threshold: float,
    *,
    draws: int = DRAWS,
) -> dict[str, Figure]:
    """Sensitivity, specificity, PPV and NPV at a threshold.

    Each has the wider of Wilson's interval over images and the patients' bootstrap;
    a rate of nothing (no image said positive) is NaN with n 0.
    """
    said = scores >= threshold
    parts = {
        "sensitivity": (positive, said),
        "specificity": (~positive, ~said),
        "PPV": (said, positive),
        "NPV": (~said, ~positive),
    }
    return {
        name: _rate(among, true, patients, draws)
        for name, (among, true) in parts.items()
    }


def _rate(among: Truth, true: Truth, patients: Sequence[str], draws: int) -> Figure:
    index = np.flatnonzero(among)
    right, whose = true[index], [patients[int(i)] for i in index]
    n, hits = len(index), int(right.sum())
    if n == 0:
        return Figure(math.nan, math.nan, math.nan, 0, 0)
    wide = wilson_interval(hits, n)
    drawn = bootstrap(lambda rows: float(right[rows].mean()), whose, draws=draws)
    low, high = min(wide[0], drawn[0]), max(wide[1], drawn[1])
    return Figure(hits / n, low, high, n, len(set(whose)))


class Choice(NamedTuple):
    """A threshold with the patients' bootstrap interval of its own choosing."""

    threshold: float
    low: float
    high: float


def choose(scores: Vector, positive: Truth, rule: Rule, amount: float = 0.0) -> float:
    """The threshold a rule takes; at or above it is positive.

    youden: greatest sensitivity + specificity - 1. sensitivity, specificity: the
    other rate greatest while this one is at least `amount`. max-f1: greatest F1. cost:
    least cost where a missed positive costs `amount` times a false alarm. It lies
    halfway between two scores seen, so that it favours neither. NaN with one class
    only. Raises ValueError for an unknown rule and an amount that makes no sense.
    """
    _check(rule, amount)
    if positive.all() or not positive.any():
        return math.nan
    candidates = np.unique(scores)[::-1]
    order = np.sort(scores[positive]), np.sort(scores[~positive])
    hits = len(order[0]) - np.searchsorted(order[0], candidates)
    alarms = len(order[1]) - np.searchsorted(order[1], candidates)
    true, false = hits / len(order[0]), alarms / len(order[1])
    worth = _worth(rule, amount, (true, false), (hits, alarms))
    best = int(np.argmax(worth))
    return float(candidates[best : best + 2].mean())


def _worth(
    rule: Rule,
    amount: float,
    shares: tuple[Vector, Vector],
    numbers: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> Vector:
    """What each candidate is worth; the first greatest one is taken."""
    true, false = shares
    hits, alarms = numbers
    n_positive = hits[-1]
    if rule == "youden":
        return true - false
    if rule == "sensitivity":
        return np.where(true >= amount, 1 - false, -1.0)
    if rule == "specificity":
        return np.where(1 - false >= amount, true, -1.0)
    if rule == "max-f1":
        return np.asarray(2 * hits / (n_positive + hits + alarms), np.float64)
    return np.asarray(-(amount * (n_positive - hits) + alarms), np.float64)


def _check(rule: str, amount: float) -> None:
    if rule not in ("youden", "sensitivity", "specificity", "max-f1", "cost"):
        raise ValueError(
            f"rule {rule!r} is unknown: use youden, sensitivity, specificity, max-f1"
            " or cost"
        )
    if rule in ("sensitivity", "specificity") and not 0 < amount <= 1:
        raise ValueError(f"{rule} {amount:g} is no rate: give one above 0, at most 1")
    if rule == "cost" and amount <= 0:
        raise ValueError(f"a cost ratio of {amount:g} is none: give one above 0")


def choose_with_interval(
    scores: Vector,
    positive: Truth,
    patients: Sequence[str],
    rule: tuple[Rule, float],
    *,
    draws: int = DRAWS,
) -> Choice:
    """The threshold, and how far it would move with other patients of the same kind."""
    drawn = [
        choose(scores[rows], positive[rows], *rule)
        for rows in resamples(patients, draws)
    ]
    low, high = percentile_interval(drawn)
    value = choose(scores, positive, *rule)
    return Choice(value, float(np.fmin(low, value)), float(np.fmax(high, value)))


def net_benefit(
    probabilities: Vector, positive: Truth, thresholds: Sequence[float]
) -> list[float]:
    """Decision curve: true positives per image, less false ones at its odds.

    Vickers and Elkin, Med Decis Making 2006;26:565-574. Thresholds in [0, 1).
    """
    n = len(probabilities)
    found = [counts(probabilities, positive, threshold) for threshold in thresholds]
    return [
        count.true_positive / n - count.false_positive / n * t / (1 - t)
        for count, t in zip(found, thresholds, strict=True)
    ]


def net_benefit_of_all(prevalence: float, thresholds: Sequence[float]) -> list[float]:
    """Net benefit of calling every image positive."""
    return [prevalence - (1 - prevalence) * t / (1 - t) for t in thresholds]
