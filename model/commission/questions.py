"""Which questions of a bundle the local labels answer, and how each is re-set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from model.commission import fitting
from model.data.dataset import targets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from model.bundle.serve import Bundle
    from model.data.manifest import Row
    from model.network import Head

_TWO = 2


@dataclass(frozen=True)
class Question:
    """A yes or no of one head, with the images whose answer is known.

    score: log-odds of yes before calibration. home_slope: 1 / the home temperature.
    home_point: probability from which home says yes. names: labels that it decides.
    own_slope: whether the head is this question alone, so that its slope may be re-set.
    """

    label: str
    head: str
    names: tuple[str, ...]
    index: int
    n_classes: int
    score: NDArray[np.float64] = field(repr=False)
    positive: NDArray[np.bool_] = field(repr=False)
    patients: tuple[str, ...] = field(repr=False)
    home_slope: float = 1.0
    home_point: float = 0.5
    own_slope: bool = True

    @property
    def is_enough(self) -> bool:
        """Whether there are enough answers to re-set anything."""
        return fitting.enough(self.positive)

    def line(self) -> fitting.Line:
        """The local calibration."""
        return fitting.fit_line(
            self.score, self.positive, self.home_slope, may_slope=self.own_slope
        )

    def put_into(self, heads: dict[str, Any]) -> None:
        """Add this question's calibration to `heads` of the addendum."""
        line = self.line()
        empty = {"temperature": 0.0, "bias": [0.0] * self.n_classes, "methods": {}}
        entry = heads.setdefault(self.head, empty)
        entry["temperature"] = round(1 / line.slope, 5)
        entry["bias"][self.index] = round(line.bias, 5)
        entry["methods"][self.label] = line.method

    def home_says(self) -> NDArray[np.bool_]:
        """The answer at the home operating point."""
        home = fitting.Line(self.home_slope, 0.0, "home").probability(self.score)
        return np.asarray(home >= self.home_point)

    def site_says(self) -> NDArray[np.bool_]:
        """The answer at the site's operating point, which never saw the patient."""
        p = fitting.cross_fitted(
            self.score,
            self.positive,
            self.patients,
            self.home_slope,
            may_slope=self.own_slope,
        )
        return np.asarray(p >= 0.5)  # noqa: PLR2004 - where mistakes are equal


def questions(
    bundle: Bundle, rows: Sequence[Row], logits: Mapping[str, NDArray[np.float64]]
) -> Iterator[Question]:
    """Heads of two classes, and each class of a sigmoid head; with known answers."""
    for head in bundle.parts.engine.network.layout:
        answers = targets(rows, head)
        if head.activation == "sigmoid":
            for index in range(len(head.classes)):
                yield from _question(bundle, rows, head, index, logits, answers)
        elif len(head.classes) == _TWO:
            yield from _question(bundle, rows, head, 1, logits, answers)


def _question(
    bundle: Bundle,
    rows: Sequence[Row],
    head: Head,
    index: int,
    logits: Mapping[str, NDArray[np.float64]],
    answers: NDArray[np.float32],
) -> Iterator[Question]:
    known = np.isin(answers[:, index], (0, 1))
    labels = {label.name: label for label in bundle.description.labels}
    name = head.classes[index]
    if not known.any() or name not in labels:
        return
    z = logits[head.name]
    softmax = head.activation == "softmax"
    score = z[:, 1] - z[:, 0] if softmax else z[:, index]
    yield Question(
        label=name,
        head=head.name,
        names=head.classes if softmax else (name,),
        index=index,
        n_classes=len(head.classes),
        score=score[known],
        positive=answers[known, index] == 1,
        patients=tuple(
            row.patient for row, one in zip(rows, known, strict=True) if one
        ),
        home_slope=1 / bundle.parts.temperatures[head.name],
        home_point=labels[name].operating_point,
        own_slope=softmax or len(head.classes) == 1,
    )
