"""How well scores rank positives above negatives: ROC and precision-recall."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from model.metrics.delong import delong_interval
from model.metrics.figure import DRAWS, Figure, bootstrap, drawn_figure
from model.metrics.ranks import auroc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Points = list[tuple[float, float]]


def auroc_figure(
    scores: Vector,
    positive: NDArray[np.bool_],
    patients: Sequence[str],
    *,
    draws: int = DRAWS,
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


def average_precision(scores: Vector, positive: NDArray[np.bool_]) -> float:
    """Area under the precision-recall steps (no interpolation); NaN without positives.

    Its value without skill is the prevalence, so it is only read beside it.
    """
    if not positive.any():
        return math.nan
    hits, alarms = _cumulated(scores, positive)
    precision, recall = hits / (hits + alarms), hits / hits[-1]
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def average_precision_figure(
    scores: Vector,
    positive: NDArray[np.bool_],
    patients: Sequence[str],
    *,
    draws: int = DRAWS,
) -> Figure:
    """Average precision with the patients' bootstrap interval."""
    return drawn_figure(
        lambda rows: average_precision(scores[rows], positive[rows]),
        patients,
        draws=draws,
    )


def roc(scores: Vector, positive: NDArray[np.bool_]) -> Points:
    """Points (false positive rate, true positive rate) from (0, 0) to (1, 1)."""
    hits, alarms = _cumulated(scores, positive)
    true = hits / max(1, int(positive.sum()))
    false = alarms / max(1, int((~positive).sum()))
    return [(0.0, 0.0), *zip(false.tolist(), true.tolist(), strict=True)]


def precision_recall(scores: Vector, positive: NDArray[np.bool_]) -> Points:
    """Points (recall, precision), one for each threshold, recall rising."""
    hits, alarms = _cumulated(scores, positive)
    recall = hits / max(1, int(positive.sum()))
    return list(zip(recall.tolist(), (hits / (hits + alarms)).tolist(), strict=True))


def _cumulated(scores: Vector, positive: NDArray[np.bool_]) -> tuple[Vector, Vector]:
    """True and false positives at each distinct threshold, the highest first."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    return hits, last + 1 - hits
