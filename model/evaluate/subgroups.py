"""Is it worse for some? AUROC by sex, age, view, manufacturer and source."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from model import metrics
from model.evaluate.evaluation import Subgroup
from model.evaluate.tasks import Task, each_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.data.manifest import Row
    from model.evaluate.judge import Judge
    from model.metrics import Figure

_AGES = (
    (18, "0 to 17 years"),
    (40, "18 to 39 years"),
    (60, "40 to 59 years"),
    (80, "60 to 79 years"),
)
_OLDEST = "80 years and older"
_ATTRIBUTES = ("sex", "age", "view", "manufacturer")


def subgroups(judge: Judge, pooled: Sequence[Task]) -> list[Subgroup]:
    """Each label over the sources, then by each attribute within each source.

    An attribute of which all images have the same value is left out, and the view
    where it is the question itself.
    """
    found: list[Subgroup] = []
    for task in pooled:
        real = task.where(task.scores.sources != "phantom")
        if not real.scores.rows:
            continue
        found += _by(judge, real, "source")
        for part in each_source(real):
            for attribute in _ATTRIBUTES:
                if attribute != task.label.head:
                    found += _by(judge, part, attribute)
    return found


def _by(judge: Judge, task: Task, attribute: str) -> list[Subgroup]:
    values = np.array([value_of(row, attribute) for row in task.scores.rows])
    names = sorted(set(values.tolist()) - {""})
    if len(names) + ("" in values) < 2:  # noqa: PLR2004 - nothing to compare with
        return []
    return [_one(judge, task, attribute, (name, values == name)) for name in names]


def _one(
    judge: Judge,
    task: Task,
    attribute: str,
    group: tuple[str, NDArray[np.bool_]],
) -> Subgroup:
    name, member = group
    part, rest = task.where(member), task.where(~member)
    auroc = (
        judge.auroc(part.probabilities, part.positive, part.scores)
        if part.enough
        else None
    )
    return Subgroup(
        label=task.label.name,
        on=task.on,
        attribute=attribute,
        value=name,
        n=len(part.positive),
        n_positive=int(part.positive.sum()),
        auroc=auroc,
        gap=_gap(judge, task, member) if part.enough and rest.enough else None,
    )


def _gap(judge: Judge, task: Task, member: NDArray[np.bool_]) -> Figure:
    """AUROC of the group minus that of the rest, all patients drawn together."""
    p, positive = task.probabilities, task.positive

    def of(rows: NDArray[np.int64]) -> float:
        inside, outside = rows[member[rows]], rows[~member[rows]]
        return metrics.auroc(p[inside], positive[inside]) - metrics.auroc(
            p[outside], positive[outside]
        )

    return metrics.drawn_figure(of, task.scores.patients, draws=judge.draws)


def value_of(row: Row, attribute: str) -> str:
    """The row's value in words; empty where the manifest does not say."""
    if attribute == "age":
        return age_band(str(getattr(row, "age_years", "")))
    return str(getattr(row, attribute, ""))


def age_band(years: str) -> str:
    """The band of an age in years; empty for what is no age."""
    try:
        age = float(years)
    except ValueError:
        return ""
    if math.isnan(age) or age < 0:
        return ""
    return next((name for limit, name in _AGES if age < limit), _OLDEST)
