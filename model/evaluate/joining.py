"""Figures of every kind become one evaluation, of images as of series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.evaluate import discrimination
from model.evaluate.evaluation import Entry, Evaluation
from model.evaluate.subgroups import subgroups
from model.evaluate.tasks import pooled_tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from model.evaluate.judge import Judge
    from model.evaluate.scoring import Scores
    from model.evaluate.tasks import Task


def joined(
    judge: Judge,
    scores: Scores,
    judged: Sequence[Task],
    entries: Iterable[Entry],
    refusals: Iterable[str],
) -> Evaluation:
    """The entries with plots, subgroups, operating points and notes of every task."""
    return Evaluation(
        bundle=judge.about,
        entries=tuple(entries),
        plots=tuple(p for task in judged for p in discrimination.plots(judge, task)),
        subgroups=tuple(subgroups(judge, pooled_tasks(judge, scores))),
        operating_points=tuple(
            point
            for task in judged
            for point in discrimination.operating_points(judge, task)
        ),
        notes=tuple(n for task in judged for n in discrimination.notes(judge, task)),
        refusals=tuple(refusals),
    )
