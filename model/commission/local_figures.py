"""What commissioning measured at the site, each figure with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from model import metrics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from model.bundle import Label, Prediction, SeriesPrediction
    from model.commission.questions import Question
    from model.data.manifest import Row

_DRAWS = 1000


def of_question(asked: Question) -> list[dict[str, Any]]:
    """Ranking, and mistakes at the home and at the site's operating point.

    The site's are cross-fitted over patients: no image was judged by a threshold that
    it helped to set.
    """
    low, high = metrics.delong_interval(asked.score, asked.positive)
    area = metrics.auroc(asked.score, asked.positive)
    n_patients = len(set(asked.patients))
    known = {"n": len(asked.score), "n_patients": n_patients}
    found = [_entry(f"{asked.label}: AUROC", area, (low, high), known)]
    for where, says in (("home", asked.home_says()), ("site", asked.site_says())):
        name = f"{asked.label}: {{}} at the {where} operating point"
        yes, no = says[asked.positive], ~says[~asked.positive]
        found += [
            _balanced(name.format("balanced accuracy"), asked, says, known),
            _share(name.format("sensitivity"), yes, known),
            _share(name.format("specificity"), no, known),
        ]
    return found


def of_domain(
    home: Sequence[Prediction | SeriesPrediction],
    site_distances: NDArray[np.float64],
    domain: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Local images refused by the home limit, and once the site's own is added."""
    refused = np.array([not one.in_domain for one in home])
    still = refused & (site_distances > domain["limit"])
    known = {"n": len(home), "n_patients": len(home)}
    return [
        _share("refused at the home domain limit", refused, known),
        _share("refused at the site domain limit", still, known),
    ]


def of_findings(
    labels: Sequence[Label],
    asked: Sequence[Question],
    predictions: Sequence[Prediction | SeriesPrediction],
    rows: Sequence[Row],
) -> list[dict[str, Any]]:
    """Share of local images with a finding that the site gave no labels for.

    On ordinary images these are mostly false alarms.
    """
    reset = {name for one in asked for name in one.names}
    known = {"n": len(rows), "n_patients": len({row.patient for row in rows})}
    return [
        _share(
            f"{label.name}: flagged, not re-set", _flagged(label, predictions), known
        )
        for label in labels
        if label.kind == "finding" and label.name not in reset
    ]


def _flagged(
    label: Label, predictions: Sequence[Prediction | SeriesPrediction]
) -> NDArray[np.bool_]:
    point = max(label.operating_point, label.grey_high)
    return np.array([one.probabilities[label.name] >= point for one in predictions])


def _balanced(
    name: str, asked: Question, says: NDArray[np.bool_], known: dict[str, int]
) -> dict[str, Any]:
    def statistic(index: NDArray[np.int64]) -> float:
        said, truth = says[index], asked.positive[index]
        if truth.all() or not truth.any():
            return float("nan")
        return float((said[truth].mean() + (~said[~truth]).mean()) / 2)

    value = statistic(np.arange(len(says)))
    interval = metrics.bootstrap(statistic, asked.patients, draws=_DRAWS)
    return _entry(name, value, interval, known)


def _share(name: str, hits: NDArray[np.bool_], known: dict[str, int]) -> dict[str, Any]:
    interval = metrics.wilson(int(hits.sum()), len(hits))
    return _entry(name, float(hits.mean()), interval, {**known, "n": len(hits)})


def _entry(
    name: str, value: float, interval: tuple[float, float], known: dict[str, int]
) -> dict[str, Any]:
    low, high = (round(number, 4) for number in interval)
    return {"name": name, "value": round(value, 4), "low": low, "high": high, **known}
