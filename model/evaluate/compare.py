"""Two bundles on the same images or series: which ranks better, and is it chance?"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from model import metrics
from model.bundle.errors import BundleError
from model.evaluate import series
from model.evaluate.evaluation import Comparison
from model.evaluate.judge import Judge
from model.evaluate.scoring import AS_IS, score
from model.evaluate.tasks import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from model.bundle.serve import Bundle
    from model.data.manifest import Row
    from model.evaluate.tasks import Task


def compare(
    first: Bundle,
    second: Bundle,
    rows: Sequence[Row],
    roots: Sequence[Path],
    *,
    draws: int = 2000,
) -> list[Comparison]:
    """Paired differences (first minus second) for each label that both have.

    p values are corrected by Holm over all labels and sources compared. Raises
    BundleError when one is for whole series and the other for single images.
    """
    if is_of_series(first) != is_of_series(second):
        raise BundleError(
            "one bundle is for whole series, the other for single images, so that they"
            " have no answer in common: name another with --against"
        )
    mine, theirs = (_tasks(bundle, rows, roots, draws) for bundle in (first, second))
    said = second.description
    found = [
        Comparison(
            name,
            on,
            f"{said.name} {said.version} ({said.digest[:8]})",
            metrics.paired_auroc(
                task.probabilities,
                theirs[name, on].probabilities,
                task.positive,
                task.scores.patients,
                draws=draws,
            ),
        )
        for (name, on), task in mine.items()
        if (name, on) in theirs
    ]
    return _corrected(found)


def is_of_series(bundle: Bundle) -> bool:
    """Whether it answers for whole series."""
    return bundle.description.input.series is not None


def _tasks(
    bundle: Bundle, rows: Sequence[Row], roots: Sequence[Path], draws: int
) -> dict[tuple[str, str], Task]:
    if is_of_series(bundle):
        scores = series.score(bundle, rows, roots)
    else:
        scores = score(bundle.parts.engine, roots, [(row, AS_IS) for row in rows])
    found = tasks(Judge(bundle, draws), scores)
    return {(task.label.name, task.on): task for task in found}


def _corrected(found: Sequence[Comparison]) -> list[Comparison]:
    p_values = {str(i): one.difference.p_delong for i, one in enumerate(found)}
    corrected = metrics.holm(p_values)
    return [
        replace(one, difference=replace(one.difference, p_holm=corrected[str(i)]))
        for i, one in enumerate(found)
    ]
