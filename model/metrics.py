"""Figures with intervals. The unit that is drawn again is the patient, not the image.

scikit-learn is the oracle of the tests, not used here: it has neither DeLong nor a
bootstrap over patients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_Z95 = 1.959963984540054
_DRAWS = 2000
_BINS = 10


@dataclass(frozen=True)
class Figure:
    """One number with its 95 % interval, and how many images and patients it is of."""

    value: float
    low: float
    high: float
    n: int
    n_patients: int

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


def auroc(scores: Vector, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, ties counting half; NaN with one class only."""
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return math.nan
    ranks = midranks(scores)
    below = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(below / (n_positive * n_negative))


def midranks(values: Vector) -> Vector:
    """Ranks from 1, ties sharing their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], np.float64)


def delong(scores: Vector, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """AUROC and its DeLong variance (Sun and Xu 2014, the fast form)."""
    x, y = scores[positive], scores[~positive]
    m, n = len(x), len(y)
    if min(m, n) < 2:  # noqa: PLR2004 - a variance needs two of each
        return auroc(scores, positive), math.nan
    ranks = midranks(scores)
    all_x, all_y = ranks[positive], ranks[~positive]
    area = (all_x.sum() / m - (m + 1) / 2) / n
    place_x = (all_x - midranks(x)) / n
    place_y = 1 - (all_y - midranks(y)) / m
    variance = place_x.var(ddof=1) / m + place_y.var(ddof=1) / n
    return float(area), float(variance)


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
    half = _Z95 * math.sqrt(variance) / (area * (1 - area))
    return _expit(centre - half), _expit(centre + half)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % Wilson interval of a proportion."""
    if n == 0:
        return math.nan, math.nan
    share, z2 = successes / n, _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    return low, 1.0 if successes == n else centre + half


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    patients: Sequence[str],
    *,
    draws: int = _DRAWS,
    seed: int = 1,
) -> tuple[float, float]:
    """95 % percentile interval of a statistic of row indices, patients drawn again."""
    rows: dict[str, list[int]] = {}
    for index, patient in enumerate(patients):
        rows.setdefault(patient, []).append(index)
    groups = [np.asarray(group, np.int64) for group in rows.values()]
    random = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        chosen = random.integers(0, len(groups), len(groups))
        values.append(statistic(np.concatenate([groups[i] for i in chosen])))
    finite = [value for value in values if not math.isnan(value)]
    if not finite:
        return math.nan, math.nan
    low, high = np.percentile(finite, (2.5, 97.5))
    return float(low), float(high)


def auroc_figure(
    scores: Vector,
    positive: NDArray[np.bool_],
    patients: Sequence[str],
    *,
    draws: int = _DRAWS,
) -> Figure:
    """AUROC with the wider of DeLong's and the patients' bootstrap bounds."""

    def of(rows: NDArray[np.int64]) -> float:
        return auroc(scores[rows], positive[rows])

    wide = delong_interval(scores, positive)
    drawn = bootstrap(of, patients, draws=draws)
    return Figure(
        auroc(scores, positive),
        float(np.fmin(wide[0], drawn[0])),
        float(np.fmax(wide[1], drawn[1])),
        len(scores),
        len(set(patients)),
    )


def share_figure(
    right: NDArray[np.bool_], patients: Sequence[str], *, draws: int = _DRAWS
) -> Figure:
    """Share of images of which something is true, with the patients' bootstrap.

    Where it is true of all or of none, the bootstrap would claim certainty: then it is
    Wilson's interval over patients.
    """
    n_patients = len(set(patients))
    value = float(right.mean()) if len(right) else math.nan
    if value in (0.0, 1.0):
        low, high = wilson(n_patients if value else 0, n_patients)
    else:
        low, high = bootstrap(
            lambda rows: float(right[rows].mean()), patients, draws=draws
        )
    return Figure(value, low, high, len(right), n_patients)


def calibration_error(
    probabilities: Vector, positive: Vector, bins: int = _BINS
) -> float:
    """Expected calibration error over bins of equal mass (sorted, then split)."""
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [
        len(part) * abs(probabilities[part].mean() - positive[part].mean())
        for part in parts
        if len(part)
    ]
    return float(sum(gaps) / len(order))


def top_class(probabilities: Vector, target: Vector) -> tuple[Vector, Vector]:
    """(n, classes) twice -> probability of the most probable class, and its truth."""
    rows, top = np.arange(len(probabilities)), probabilities.argmax(1)
    return probabilities[rows, top], target[rows, top]


def calibration_figure(
    probabilities: Vector, positive: Vector, patients: Sequence[str], **options: Any
) -> Figure:
    """Equal-mass ECE with the patients' bootstrap interval."""

    def of(rows: NDArray[np.int64]) -> float:
        return calibration_error(probabilities[rows], positive[rows])

    low, high = bootstrap(of, patients, **options)
    value = calibration_error(probabilities, positive)
    # Drawing again adds noise, and noise only ever adds to this error.
    return Figure(value, min(low, value), high, len(probabilities), len(set(patients)))


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x))
