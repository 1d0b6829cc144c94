"""Two models on the same images: paired differences, corrected for many questions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.metrics.delong import delong_paired
from model.metrics.figure import DRAWS, Figure, drawn_figure
from model.metrics.ranks import auroc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """AUROC of the first model minus that of the second.

    difference: with the paired bootstrap over patients. p_delong: paired DeLong over
    images. p_holm: the same after Holm's correction over all labels compared.
    """

    first: float
    second: float
    difference: Figure
    p_delong: float
    p_holm: float = math.nan


def paired_auroc(
    first: Vector,
    second: Vector,
    positive: NDArray[np.bool_],
    patients: Sequence[str],
    *,
    draws: int = DRAWS,
) -> Difference:
    """Both models judged on each draw of the same patients."""

    def of(rows: NDArray[np.int64]) -> float:
        truth = positive[rows]
        return auroc(first[rows], truth) - auroc(second[rows], truth)

    return Difference(
        auroc(first, positive),
        auroc(second, positive),
        drawn_figure(of, patients, draws=draws),
        delong_paired(first, second, positive)[2],
    )


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Holm's step-down correction (Scand J Statist 1979;6:65-70), in the given order.

    NaN stays NaN and counts for nothing.
    """
    valid = sorted((p, name) for name, p in p_values.items() if not math.isnan(p))
    corrected = dict.fromkeys(p_values, math.nan)
    largest = 0.0
    for position, (p, name) in enumerate(valid):
        largest = max(largest, min(1.0, p * (len(valid) - position)))
        corrected[name] = largest
    return corrected
