"""A number with its interval. The unit that is drawn again is the patient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.int64]
    Statistic = Callable[[Rows], float]

Z95 = 1.959963984540054
DRAWS = 2000


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


def resamples(patients: Sequence[str], draws: int, seed: int = 1) -> list[Rows]:
    """Row indices of each draw: as many patients as there are, with replacement."""
    names: dict[str, int] = {}
    member = np.array([names.setdefault(name, len(names)) for name in patients])
    rows = np.argsort(member, kind="stable")
    counts = np.bincount(member, minlength=len(names))
    starts = np.cumsum(counts) - counts
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(draws):
        chosen = random.integers(0, len(names), len(names))
        sizes = counts[chosen]
        within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        drawn.append(rows[np.repeat(starts[chosen], sizes) + within])
    return drawn


def bootstrap(
    statistic: Statistic,
    patients: Sequence[str],
    *,
    draws: int = DRAWS,
    seed: int = 1,
) -> tuple[float, float]:
    """95 % percentile interval of a statistic of row indices, patients drawn again.

    Draws in which the statistic does not exist (NaN) are left out.
    """
    return percentile_interval(
        [statistic(rows) for rows in resamples(patients, draws, seed)]
    )


def percentile_interval(values: Sequence[float]) -> tuple[float, float]:
    """2.5 and 97.5 percentiles of the values that are numbers; NaN without any."""
    finite = [value for value in values if not math.isnan(value)]
    if not finite:
        return math.nan, math.nan
    low, high = np.percentile(finite, (2.5, 97.5))
    return float(low), float(high)


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % Wilson interval of a proportion."""
    if n == 0:
        return math.nan, math.nan
    share, z2 = successes / n, Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    return low, 1.0 if successes == n else centre + half


def drawn_figure(
    statistic: Statistic, patients: Sequence[str], *, draws: int = DRAWS
) -> Figure:
    """Any statistic of row indices with the patients' bootstrap interval.

    The interval is widened to hold the value, which a biased statistic can leave.
    """
    value = statistic(np.arange(len(patients)))
    low, high = bootstrap(statistic, patients, draws=draws)
    return Figure(
        value,
        float(np.fmin(low, value)),
        float(np.fmax(high, value)),
        len(patients),
        len(set(patients)),
    )


def share_figure(
    right: NDArray[np.bool_], patients: Sequence[str], *, draws: int = DRAWS
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
