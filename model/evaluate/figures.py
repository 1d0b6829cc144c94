"""What is reported of a bundle: every figure with its number of images and interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.evaluate import discrimination
from model.evaluate.evaluation import Entry, Evaluation
from model.evaluate.joining import joined
from model.evaluate.judge import Judge
from model.evaluate.orientation import by_source, domain, inversion, mirror, rotation
from model.evaluate.panel import panel
from model.evaluate.quality import figures as quality_figures
from model.evaluate.scoring import EVERY_WAY, MIRRORED, score
from model.evaluate.tasks import tasks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from model.bundle.serve import Bundle
    from model.data.manifest import Row
    from model.evaluate.scoring import Scores
    from model.evaluate.tasks import Task

__all__ = ["Entry", "Evaluation", "evaluate"]


def evaluate(
    bundle: Bundle,
    rows: Sequence[Row],
    roots: Sequence[Path],
    *,
    draws: int = 2000,
    training: Sequence[Row] = (),
    scores: Scores | None = None,
) -> Evaluation:
    """All figures of a bundle on the given rows (usually the validation split).

    Each image is scored upright and turned, plain and inverted, through the engine of
    service. draws: bootstrap draws. training: rows that the baselines of the shortcut
    panel may learn from as well. scores: of these rows in every way, if they are there
    already. Raises ManifestError where an image or scikit-learn
    is missing.
    """
    has_mirror = any(h.name == "mirror" for h in bundle.parts.engine.network.layout)
    ways = (*EVERY_WAY, *MIRRORED) if has_mirror else EVERY_WAY
    if scores is None:
        jobs = [(row, variant) for row in rows for variant in ways]
        scores = score(bundle.parts.engine, roots, jobs)
    judge = Judge(bundle, draws)
    judged = tasks(judge, scores)
    panels = [
        panel(judge, task, roots, training) for task in judged if task.on != "phantom"
    ]
    entries = [
        *_of_heads(judge, scores, judged),
        *(entry for found, _ in panels for entry in found),
        *domain(judge, scores),
        *quality_figures(bundle.description.quality, rows, roots, draws=draws),
    ]
    refusals = (refusal for _, found in panels for refusal in found)
    return joined(judge, scores, judged, entries, refusals)


def _of_heads(judge: Judge, scores: Scores, judged: Sequence[Task]) -> list[Entry]:
    entries: list[Entry] = []
    for head in judge.engine.network.layout:
        for task in judged:
            if task.label.head == head.name:
                entries += discrimination.figures(judge, task)
        if head.name == "rotation":
            entries += rotation(judge, scores)
        elif head.name == "inversion":
            entries += inversion(judge, scores)
        elif head.name == "mirror":
            entries += mirror(judge, scores)
        else:
            entries += _abstains(judge, scores, head.name)
    return entries


def _abstains(judge: Judge, scores: Scores, head: str) -> list[Entry]:
    return [
        Entry(
            head,
            "abstains: kind not trained on",
            source,
            judge.share(judge.abstained(part, head), part),
        )
        for source, part in by_source(scores.where(scores.upright))
    ]
