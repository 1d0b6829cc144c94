"""Figures and plots of one task: ranking, rates at the operating point, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from model import calibration, metrics
from model.data import phantoms
from model.evaluate.evaluation import Entry, OperatingPoint, Plot, Series

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.evaluate.judge import Judge
    from model.evaluate.tasks import Task
    from model.metrics import Figure, Rule

_SLOPE_DRAWS = 400
_RULES: tuple[tuple[str, Rule, float], ...] = (
    ("Youden", "youden", 0.0),
    ("sensitivity at least 0.95", "sensitivity", 0.95),
    ("specificity at least 0.95", "specificity", 0.95),
    ("greatest F1", "max-f1", 0.0),
    ("a miss costs 5 false alarms", "cost", 5.0),
)


def figures(judge: Judge, task: Task) -> list[Entry]:
    """Every figure of a task that could be measured."""
    entries = [*_ranking(judge, task), *_decisions(judge, task)]
    return [e for e in [*entries, *_calibration(judge, task)] if e.measured]


def notes(judge: Judge, task: Task) -> list[str]:
    """Why a figure is missing."""
    positive = task.positive.astype(np.float64)
    line = calibration.slope_and_intercept(_fitted(judge, task), positive)
    if not np.isnan(line.slope):
        return []
    return [
        f"{task.label.name} on {task.on}: no calibration slope, the classes are"
        " perfectly separated"
    ]


def _ranking(judge: Judge, task: Task) -> list[Entry]:
    name, p, positive = task.label.name, task.probabilities, task.positive
    precision = metrics.average_precision_figure(
        p, positive, task.scores.patients, draws=judge.draws
    )
    prevalence = judge.share(positive, task.scores)
    return [
        _entry(task, f"AUROC of {name}", judge.auroc(p, positive, task.scores)),
        _entry(task, f"average precision of {name}", precision),
        _entry(task, f"prevalence of {name} (average precision by chance)", prevalence),
    ]


def _decisions(judge: Judge, task: Task) -> list[Entry]:
    """At the operating point that the bundle holds."""
    p, positive, label = task.probabilities, task.positive, task.label
    point = label.operating_point
    right = (p >= point) == positive
    unsure = _undetermined(task)
    at = metrics.rates(p, positive, task.scores.patients, point, draws=judge.draws)
    rates = [
        _entry(task, f"{name} of {label.name} at {point:g}", figure)
        for name, figure in at.items()
    ]
    return [
        _entry(
            task, "accuracy at the operating point", judge.share(right, task.scores)
        ),
        *rates,
        _entry(task, "undetermined", judge.share(unsure, task.scores)),
        _entry(
            task, "wrong and determined", judge.share(~unsure & ~right, task.scores)
        ),
    ]


def _undetermined(task: Task) -> NDArray[np.bool_]:
    """No class of a category is certain; a finding lies in its grey zone."""
    label, p = task.label, task.probabilities
    low = 1 - label.grey_high if label.kind == "category" else label.grey_low
    return np.asarray((p >= low) & (p < label.grey_high))


def _calibration(judge: Judge, task: Task) -> list[Entry]:
    """With temperatures that never saw the patient."""
    positive = task.positive.astype(np.float64)
    p, patients = _fitted(judge, task), task.scores.patients
    few = min(judge.draws, _SLOPE_DRAWS)

    def line(part: int) -> Figure:
        return metrics.drawn_figure(
            lambda rows: calibration.slope_and_intercept(p[rows], positive[rows])[part],
            patients,
            draws=few,
        )

    square = metrics.brier_figure(p, positive, patients, draws=judge.draws)
    error = metrics.calibration_figure(
        *_said_and_true(judge, task), patients, draws=judge.draws
    )
    return [
        _entry(task, "Brier score, cross-fitted", square),
        _entry(task, "calibration error, 10 bins of equal mass, cross-fitted", error),
        _entry(task, "calibration slope, cross-fitted", line(0)),
        _entry(task, "calibration intercept (slope held at 1), cross-fitted", line(1)),
    ]


def _said_and_true(
    judge: Judge, task: Task
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the most probable class where one of them is true, else of the label."""
    if judge.head(task.label.head).activation == "softmax":
        return metrics.top_class(_all_fitted(judge, task), task.target)
    return _fitted(judge, task), task.positive.astype(np.float64)


def _all_fitted(judge: Judge, task: Task) -> NDArray[np.float64]:
    """(n, classes); of independent classes only the answers of this one are used."""
    head, index = judge.head(task.label.head), task.label.index
    logits, target = task.scores.logits[head.name], task.target
    if head.activation == "sigmoid":
        logits, target = logits[:, [index]], target[:, [index]]
    return calibration.cross_fitted(
        logits, target, head.activation, task.scores.patients
    )


def _fitted(judge: Judge, task: Task) -> NDArray[np.float64]:
    """(n,) cross-fitted probability of the label."""
    softmax = judge.head(task.label.head).activation == "softmax"
    return _all_fitted(judge, task)[:, task.label.index if softmax else 0]


def plots(judge: Judge, task: Task) -> list[Plot]:
    """ROC, precision and recall, reliability and decision curve; none of phantoms,
    which are evidence of nothing.
    """
    if task.on == phantoms.SOURCE:
        return []
    p, positive, name = task.probabilities, task.positive, task.label.name
    prevalence = float(positive.mean())
    level = [(0.0, prevalence), (1.0, prevalence)]
    chance = Series("by chance", [(0.0, 0.0), (1.0, 1.0)], style="dashed")
    return [
        _plot(
            task,
            ("ROC", "false positive rate", "sensitivity"),
            Series(name, metrics.roc(p, positive)),
            chance,
        ),
        _plot(
            task,
            ("Precision and recall", "recall (sensitivity)", "precision (PPV)"),
            Series(name, metrics.precision_recall(p, positive)),
            Series("prevalence", level, style="dashed"),
        ),
        _reliability(task, _fitted(judge, task)),
        _decision_curve(task),
    ]


def _reliability(task: Task, fitted: NDArray[np.float64]) -> Plot:
    bins = metrics.reliability(fitted, task.positive.astype(np.float64))
    points = Series(
        task.label.name,
        [(one.probability, one.share) for one in bins],
        [(one.low, one.high) for one in bins],
        "points",
    )
    ideal = Series("as promised", [(0.0, 0.0), (1.0, 1.0)], style="dashed")
    words = ("Reliability", "probability", "share true")
    return _plot(task, words, points, ideal)


def _decision_curve(task: Task) -> Plot:
    thresholds = [i / 100 for i in range(1, 100)]
    p, positive = task.probabilities, task.positive
    prevalence = float(positive.mean())
    model = metrics.net_benefit(p, positive, thresholds)
    everyone = metrics.net_benefit_of_all(prevalence, thresholds)
    floor = -0.1
    return Plot(
        task.section,
        "Decision curve",
        task.on,
        "threshold probability",
        "net benefit per image",
        (
            Series(task.label.name, _above(thresholds, model, floor)),
            Series("all positive", _above(thresholds, everyone, floor), style="dashed"),
        ),
        y_range=(floor, max(0.1, prevalence * 1.1)),
    )


def _above(x: list[float], y: list[float], floor: float) -> list[tuple[float, float]]:
    return [(a, b) for a, b in zip(x, y, strict=True) if b >= floor]


def operating_points(judge: Judge, task: Task) -> list[OperatingPoint]:
    """What each rule would take; empty unless all images are of the validation split,
    because thresholds are chosen nowhere else, and of patients.
    """
    if task.on == phantoms.SOURCE or {row.split for row in task.scores.rows} != {"val"}:
        return []
    return [_chosen(judge, task, rule) for rule in _RULES]


def _chosen(judge: Judge, task: Task, rule: tuple[str, Rule, float]) -> OperatingPoint:
    p, positive, patients = task.probabilities, task.positive, task.scores.patients
    choice = metrics.choose_with_interval(
        p, positive, patients, rule[1:], draws=judge.draws
    )
    at = metrics.rates(p, positive, patients, choice.threshold, draws=judge.draws)
    return OperatingPoint(
        task.label.name,
        task.on,
        rule[0],
        *choice,
        sensitivity=at["sensitivity"],
        specificity=at["specificity"],
    )


def _entry(task: Task, name: str, figure: Figure) -> Entry:
    return Entry(task.section, name, task.on, figure)


def _plot(task: Task, words: tuple[str, str, str], *series: Series) -> Plot:
    return Plot(task.section, words[0], task.on, words[1], words[2], series)
