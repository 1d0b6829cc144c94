"""The shortcut panel: the model's AUROC beside what needs no anatomy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from model import metrics
from model.data.files import locate, read_image, size_bytes
from model.evaluate import baselines
from model.evaluate.evaluation import Entry
from model.evaluate.scoring import AS_IS, score
from model.evaluate.shortcuts import shortcut_gate
from model.evaluate.tasks import Task, answers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.data.manifest import Row
    from model.evaluate.judge import Judge
    from model.metrics import Figure

BLANKED = 0.12
_COLUMNS = ("view", "sex", "age_years", "manufacturer")


@dataclass(frozen=True)
class Seen:
    """What was read of the images besides their content, judged and training ones.

    judged: which rows the figures are of; the others only help to fit.
    """

    rows: tuple[Row, ...]
    positive: NDArray[np.bool_]
    judged: NDArray[np.bool_]
    n_bytes: NDArray[np.float64]
    shapes: tuple[tuple[int, int], ...]
    spreads: NDArray[np.float64]
    thumbnails: NDArray[np.float64]

    @property
    def patients(self) -> list[str]:
        """Patient of each row."""
        return [row.patient for row in self.rows]


def panel(
    judge: Judge, task: Task, roots: Sequence[Path], training: Sequence[Row]
) -> tuple[list[Entry], list[str]]:
    """Entries of a task's shortcut panel, and the refusals of the gate.

    training: images that the baselines may learn from too, patients apart.
    """
    seen = _see(judge, task, roots, training)
    entries = [_blanked(judge, task, roots), *_within_views(judge, task)]
    gated: dict[str, Figure] = {}
    metadata, names = _metadata(task, seen)
    if names:
        scores = baselines.metadata_model(metadata, seen.positive, seen.patients)
        gated["metadata"] = _judged(judge, task, seen, scores)
        entries.append(_alone(task, "metadata", gated["metadata"], ", ".join(names)))
    gated["file size"] = _judged(judge, task, seen, seen.n_bytes, either_way=True)
    entries.append(_alone(task, "file size", gated["file size"]))
    spread = _judged(judge, task, seen, seen.spreads, either_way=True)
    entries.append(_alone(task, "standard deviation of the pixels", spread))
    small = baselines.thumbnail_model(seen.thumbnails, seen.positive, seen.patients)
    name = "a thumbnail of 16 x 16 pixels"
    entries.append(_alone(task, name, _judged(judge, task, seen, small)))
    model = judge.auroc(task.probabilities, task.positive, task.scores)
    where = f"{task.label.name} on {task.on}: "
    refusals = [where + refusal for refusal in shortcut_gate(model, gated)]
    return entries, refusals


def _see(
    judge: Judge, task: Task, roots: Sequence[Path], training: Sequence[Row]
) -> Seen:
    head, index = judge.head(task.label.head), task.label.index
    mine = set(task.scores.patients)
    more = [row for row in training if row.source == task.on]
    more = [row for row in more if row.patient not in mine]
    known, target = answers(more, head, index)
    helping = [row for row, usable in zip(more, known, strict=True) if usable]
    rows = (*task.scores.rows, *helping)
    paths = [locate(row, roots) for row in rows]
    pixels = [_digest(path) for path in paths]
    return Seen(
        rows,
        np.concatenate([task.positive, target[known][:, index] == 1]),
        np.arange(len(rows)) < len(task.scores.rows),
        np.array([size_bytes(path) for path in paths], np.float64),
        tuple(shape for shape, _, _ in pixels),
        np.array([spread for _, spread, _ in pixels]),
        np.stack([small for _, _, small in pixels]),
    )


def _digest(path: Path) -> tuple[tuple[int, int], float, NDArray[np.float64]]:
    image = read_image(path)
    rows, columns = image.shape
    return (rows, columns), float(image.std()), baselines.thumbnail(image)


def _metadata(task: Task, seen: Seen) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """What the manifest and the image's shape say, less the answer itself."""
    columns = {
        name: [str(getattr(row, name, "")) for row in seen.rows]
        for name in _COLUMNS
        if name != task.label.head
    }
    columns["rows"] = [str(shape[0]) for shape in seen.shapes]
    columns["columns"] = [str(shape[1]) for shape in seen.shapes]
    return baselines.table(columns)


def _judged(
    judge: Judge,
    task: Task,
    seen: Seen,
    scores: NDArray[np.float64],
    *,
    either_way: bool = False,
) -> Figure:
    """AUROC on the judged rows; either_way: of the better direction."""
    mine = scores[seen.judged]
    if either_way and metrics.auroc(mine, task.positive) < 0.5:  # noqa: PLR2004 - chance
        mine = -mine
    return judge.auroc(mine, task.positive, task.scores)


def _blanked(judge: Judge, task: Task, roots: Sequence[Path]) -> Entry:
    """The model without the border, where views and names are written."""
    preset = replace(judge.engine.preset, border=BLANKED)
    engine = replace(judge.engine, preset=preset)
    blanked = score(engine, roots, [(row, AS_IS) for row in task.scores.rows])
    p = judge.probabilities(blanked, task.label.head)[:, task.label.index]
    name = f"AUROC of {task.label.name} with the outer {BLANKED:.0%} blanked"
    return Entry("shortcuts", name, task.on, judge.auroc(p, task.positive, task.scores))


def _within_views(judge: Judge, task: Task) -> list[Entry]:
    """The model within one view, where the view is not the question."""
    if task.label.head == "view":
        return []
    views = np.array([row.view for row in task.scores.rows])
    entries = []
    for view in sorted(set(views.tolist()) - {""}):
        part = task.where(views == view)
        if part.enough and len(part.positive) < len(task.positive):
            figure = judge.auroc(part.probabilities, part.positive, part.scores)
            name = f"AUROC of {task.label.name} within view {view}"
            entries.append(Entry("shortcuts", name, task.on, figure))
    return entries


def _alone(task: Task, name: str, figure: Figure, note: str = "") -> Entry:
    words = f"AUROC of {name} alone"
    return Entry("shortcuts", words, task.on, figure, note)
