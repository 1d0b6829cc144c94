"""From what the network says of slices to what it says of their series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.preparation import STATISTICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from model.bundle.description import Label
    from model.bundle.parts import Inferred, Parts
    from model.bundle.series import Aggregation

_LARGEST_LOGIT = 30.0


@dataclass(frozen=True)
class SeriesPrediction:
    """Label name -> value.

    logits: aggregated over the slices. probabilities: of those, calibrated. slices: the
    calibrated probability of each slice, in their order. Domain as in `Prediction`, of
    the median slice. statistics: each one's median over the slices.
    """

    probabilities: Mapping[str, float]
    logits: Mapping[str, float]
    slices: Mapping[str, tuple[float, ...]]
    in_domain: bool
    domain_distance: float
    domain_limit: float
    statistics: Mapping[str, float]


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


def summed_up(
    parts: Parts, labels: Sequence[Label], how: Aggregation, found: Sequence[Inferred]
) -> SeriesPrediction:
    """One answer for all slices of a series, at least one, in any number of batches."""
    middle = sorted(found, key=lambda one: one.where.distance / one.where.limit)
    where = middle[len(found) // 2].where
    whole: dict[str, Tensor] = {}
    each: dict[str, Tensor] = {}
    logits: dict[str, Tensor] = {}
    for head in parts.engine.network.layout:
        said = torch.stack([one.logits[head.name] for one in found])
        logits[head.name] = aggregated(said, how)
        if parts.judges(head.name, where):
            whole[head.name] = parts.probabilities(head, logits[head.name][None])[0]
            each[head.name] = parts.probabilities(head, said)
        else:  # it never saw such images, and abstains
            whole[head.name] = head.probabilities(torch.zeros_like(said[:1]))[0]
            each[head.name] = head.probabilities(torch.zeros_like(said))
    return SeriesPrediction(
        probabilities={x.name: float(whole[x.head][x.index]) for x in labels},
        logits={x.name: float(logits[x.head][x.index]) for x in labels},
        slices={x.name: tuple(each[x.head][:, x.index].tolist()) for x in labels},
        in_domain=where.distance <= where.limit,
        domain_distance=where.distance,
        domain_limit=where.limit,
        statistics=_medians([one.image.statistics for one in found]),
    )


def _medians(each: Sequence[Sequence[float]]) -> dict[str, float]:
    middle = np.median(np.asarray(each, np.float64), 0)
    return dict(zip(STATISTICS, middle.tolist(), strict=True))
