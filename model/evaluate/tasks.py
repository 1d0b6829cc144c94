"""Which questions can be judged: a label, the images whose answer is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from model.data.dataset import targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.bundle.description import Label
    from model.data.manifest import Row
    from model.evaluate.judge import Judge
    from model.evaluate.scoring import Scores
    from model.network import Head

TOO_FEW = 20  # images of a class: below this nothing is said of it
_TWO = 2


@dataclass(frozen=True)
class Task:
    """One label on the images of one source.

    scores: the images as they are. target: (n, classes) of the label's head, 0 or 1.
    probabilities: (n,) of the label, as the bundle gives them.
    """

    label: Label
    on: str
    scores: Scores
    target: NDArray[np.float64]
    probabilities: NDArray[np.float64]

    @property
    def section(self) -> str:
        """Section of the report: the head's name."""
        return self.label.head

    @property
    def positive(self) -> NDArray[np.bool_]:
        """(n,): of which images the label is true."""
        return np.asarray(self.target[:, self.label.index] == 1)

    @property
    def enough(self) -> bool:
        """Whether both classes have the least number of images."""
        n_positive = int(self.positive.sum())
        return min(n_positive, len(self.positive) - n_positive) >= TOO_FEW

    def where(self, chosen: NDArray[np.bool_]) -> Task:
        """Only the chosen images."""
        return Task(
            self.label,
            self.on,
            self.scores.where(chosen),
            self.target[chosen],
            self.probabilities[chosen],
        )


def pooled_tasks(judge: Judge, scores: Scores) -> list[Task]:
    """One task for each label whose answer the manifest knows, over all sources.

    Of two classes of which exactly one is true, the second stands for both. Images
    with a label between 0 and 1 are left out.
    """
    upright = scores.where(scores.upright)
    made = []
    for label in judge.labels.values():
        head = judge.head(label.head)
        if head.activation == "softmax" and len(head.classes) == _TWO > label.index + 1:
            continue
        known, target = answers(upright.rows, head, label.index)
        part = upright.where(known)
        if part.rows:
            p = judge.probabilities(part, head.name)[:, label.index]
            made.append(Task(label, "all", part, target[known], p))
    return made


def tasks(judge: Judge, scores: Scores) -> list[Task]:
    """One task for each label and source with at least 20 images of either class.

    Sources are not mixed: telling children from adults is not telling disease.
    """
    return [
        part
        for task in pooled_tasks(judge, scores)
        for part in each_source(task)
        if part.enough
    ]


def each_source(task: Task) -> list[Task]:
    """The task on each source alone."""
    sources = task.scores.sources
    parts = []
    for source in sorted(set(sources)):
        part = task.where(sources == source)
        parts.append(
            Task(part.label, source, part.scores, part.target, part.probabilities)
        )
    return parts


def answers(
    rows: Sequence[Row], head: Head, index: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(rows,): whose answer is known and plain; (rows, classes): the answers."""
    target = targets(rows, head).astype(np.float64)
    if head.activation == "softmax":
        return np.asarray(np.isin(target, (0, 1)).all(1)), target
    return np.isin(target[:, index], (0, 1)), target
