"""Validation while training, and the decision to stop.

The squares of the image cache stand for the images here, which is enough to follow a
run; the figures of a bundle come from whole images, through the engine of service.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.data.dataset import targets
from model.metrics import auroc
from model.train.draw import made_targets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from model.data.dataset import Images
    from model.network import Head
    from model.train.config import Recipe, Validation
    from model.train.group import Group

_BATCH = 32
_WAYS = 4


class Validator:
    """AUROC of every class on the validation images, shared among the processes."""

    def __init__(self, recipe: Recipe, store: Images, group: Group) -> None:
        self._recipe = recipe
        self._store = store
        self._group = group

    def __call__(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """head/class -> AUROC; a class without positives or negatives is left out.

        Labels are asked of the images as they are; made targets of images changed in a
        way that follows from their place in the table. Every image counts once.
        """
        was_training = model.training
        model.eval()
        found: dict[str, float] = {}
        labelled = [head for head in self._recipe.heads if not head.made]
        made = [head for head in self._recipe.heads if head.made]
        if labelled:
            logits, _ = self._run(model, device, changed=False)
            for head in labelled:
                known = targets(self._store.rows, head.head())
                found |= aurocs(head.head(), logits[head.name], known)
        if made:
            logits, answers = self._run(model, device, changed=True)
            for head in made:
                known = answers[head.made]
                found |= aurocs(head.head(), logits[head.name], known)
        model.train(was_training)
        return found

    def _run(
        self, model: nn.Module, device: torch.device, *, changed: bool
    ) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float32]]]:
        everyone = range(len(self._store))
        mine = list(everyone)[self._group.rank :: self._group.world]
        pairs: list[tuple[int, dict[str, list[float]]]] = []
        for start in range(0, len(mine), _BATCH):
            part = mine[start : start + _BATCH]
            with torch.inference_mode():
                output = model(self._pixels(part, changed=changed).to(device))
            rows = {name: v.float().cpu() for name, v in output.logits.items()}
            pairs += [
                (index, {name: value[i].tolist() for name, value in rows.items()})
                for i, index in enumerate(part)
            ]
        ordered = dict(self._group.gather_values(pairs))
        logits = {
            head.name: np.array([ordered[index][head.name] for index in everyone])
            for head in self._recipe.heads
        }
        answers = made_targets(*_ways(list(everyone), changed=changed))
        return logits, {name: value.numpy() for name, value in answers.items()}

    def _pixels(self, indices: list[int], *, changed: bool) -> Tensor:
        preset = self._recipe.eval_preset
        images = self._store.batch(indices).numpy().astype(np.float32) / 255
        ways = zip(*_ways(indices, changed=changed), strict=True)
        done = []
        for image, (turns, inverted, mirrored) in zip(images, ways, strict=True):
            grey = 1 - image if inverted else image
            grey = grey[:, ::-1] if mirrored else grey
            done.append(preset(np.ascontiguousarray(np.rot90(grey, -int(turns)))))
        return torch.stack(done)


def mean_auroc(found: dict[str, float]) -> float:
    """Mean over the classes; NaN when nothing could be measured."""
    return sum(found.values()) / len(found) if found else math.nan


def smoothed(history: Sequence[float], n: int) -> list[float]:
    """Mean of the last n values at each place (of all when there are fewer)."""
    return [
        sum(history[max(0, i + 1 - n) : i + 1])
        / len(history[max(0, i + 1 - n) : i + 1])
        for i in range(len(history))
    ]


def best(history: Sequence[float], settings: Validation) -> int:
    """Index of the validation to keep: the last that rose by min_delta or more."""
    values = smoothed(history, settings.smooth)
    chosen = 0
    for index, value in enumerate(values):
        if value >= values[chosen] + settings.min_delta:
            chosen = index
    return chosen


def is_over(history: Sequence[float], settings: Validation) -> bool:
    """Whether nothing has risen for `patience` validations. Pure, so a resumed run
    stops where the other did.
    """
    if not settings.patience or not history:
        return False
    return len(history) - 1 - best(history, settings) >= settings.patience


def _ways(indices: list[int], *, changed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Turns, inversion and mirror of each image: all combinations in turn."""
    place = torch.tensor(indices, dtype=torch.int64)
    if not changed:
        never = torch.zeros(len(place), dtype=torch.bool)
        return torch.zeros_like(place), never, never
    return place % _WAYS, place // _WAYS % 2 == 1, place // (2 * _WAYS) % 2 == 1


def aurocs(
    head: Head, logits: NDArray[np.float64], target: NDArray[np.float32]
) -> dict[str, float]:
    """head/class -> AUROC of known answers, where there are both.

    A softmax class is measured against the best of the others.
    """
    found = {}
    for index, name in enumerate(head.classes):
        known = np.isin(target[:, index], (0, 1))
        scores = logits[known, index]
        if head.activation == "softmax":
            scores = scores - np.delete(logits[known], index, 1).max(1)
        value = auroc(scores, target[known, index] == 1)
        if not math.isnan(value):
            found[f"{head.name}/{name}"] = value
    return found
