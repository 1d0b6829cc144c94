"""From what the network says of slices to what it says of their series."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from model.bundle.prediction import SeriesPrediction
from model.preparation import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from model.bundle.description import Label
    from model.bundle.domain import Judged
    from model.bundle.parts import Inferred, Parts
    from model.bundle.series import Aggregation

_LARGEST_LOGIT = 30.0


def aggregated(logits: Tensor, how: Aggregation) -> Tensor:
    """(slices, classes) -> (classes,); see `model.bundle.series.Aggregation`."""
    if how.method == "max":
        return logits.amax(0)
    if how.method == "top-k-mean":
        return logits.topk(min(how.k, len(logits)), 0).values.mean(0)
    # log of 1 - sigmoid(logit), summed in double: 300 slices of 1 - p underflow early.
    absent = -torch.nn.functional.softplus(logits.double()).sum(0)
    present = torch.log(-torch.expm1(absent.clamp(max=-1e-12)))
    found = (present - absent).clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT)
    return found.to(logits.dtype)


class Said(NamedTuple):
    """What is known of the slices of one series, at least one, in their order.

    logits: head -> (slices, classes). where: as the domain judges each. statistics: of
    the grey values of each, as in `model.preparation.statistics`.
    """

    logits: Mapping[str, Tensor]
    where: Sequence[Judged]
    statistics: Sequence[Sequence[float]]


def summed_up(
    parts: Parts, labels: Sequence[Label], how: Aggregation, found: Sequence[Inferred]
) -> SeriesPrediction:
    """One answer for all slices of a series, at least one, in any number of batches."""
    logits = {
        head.name: torch.stack([one.logits[head.name] for one in found])
        for head in parts.engine.network.layout
    }
    statistics = [one.image.statistics for one in found]
    said = Said(logits, [one.where for one in found], statistics)
    return answer(parts, labels, how, said)


def answer(
    parts: Parts, labels: Sequence[Label], how: Aggregation, said: Said
) -> SeriesPrediction:
    """One answer for all slices of a series."""
    middle = sorted(said.where, key=lambda one: one.distance / one.limit)
    where = middle[len(middle) // 2]
    whole: dict[str, Tensor] = {}
    each: dict[str, Tensor] = {}
    logits: dict[str, Tensor] = {}
    for head in parts.engine.network.layout:
        of_slices = said.logits[head.name]
        logits[head.name] = aggregated(of_slices, how)
        if parts.judges(head.name, where):
            whole[head.name] = parts.probabilities(head, logits[head.name][None])[0]
            each[head.name] = parts.probabilities(head, of_slices)
        else:  # it never saw such images, and abstains
            whole[head.name] = head.probabilities(torch.zeros_like(of_slices[:1]))[0]
            each[head.name] = head.probabilities(torch.zeros_like(of_slices))
    return SeriesPrediction(
        probabilities={x.name: float(whole[x.head][x.index]) for x in labels},
        logits={x.name: float(logits[x.head][x.index]) for x in labels},
        slices={x.name: tuple(each[x.head][:, x.index].tolist()) for x in labels},
        in_domain=where.distance <= where.limit,
        domain_distance=where.distance,
        domain_limit=where.limit,
        statistics=_medians(said.statistics),
    )


def _medians(each: Sequence[Sequence[float]]) -> dict[str, float]:
    middle = np.median(np.asarray(each, np.float64), 0)
    return dict(zip(STATISTICS, middle.tolist(), strict=True))
