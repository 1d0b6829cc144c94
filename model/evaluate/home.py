"""What home looks like, measured: the domain of the bundle and its drift reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from model.bundle.domain import Domain, fit
from model.bundle.watch import columns, is_undetermined
from model.data.dataset import locate, read_image
from model.evaluate.scoring import AS_IS, Scores, Variant, score
from model.monitor import OUTSIDE, UNDETERMINED, build_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from model.bundle import Prediction
    from model.bundle.serve import Bundle
    from model.data.manifest import Row
    from model.evaluate.runs import Run

_BATCH = 32
_HALF_STRETCH = 0.35
_MOST_OF_A_SOURCE = 1500


def _kinds(scores: Scores) -> list[str]:
    return [
        f"{row.source}/{row.view}/{variant.turns}/{variant.inverted}"
        + ("/mirrored" if variant.mirrored else "")
        for row, variant in zip(scores.rows, scores.variants, strict=True)
    ]


def fit_domain(run: Run, held_out: Scores, settings: dict[str, Any]) -> Domain:
    """Means and covariance from the training split, the limit from validation.

    Training images are scored as they are and in one or two random ways each, of those
    that the network was trained for, also stretched, because the sources were squeezed
    to squares and a hospital's images are not.
    """
    random = np.random.default_rng(int(run.recipe["seed"]))
    training = _some_of_each(run.split("train"))
    jobs = [(row, AS_IS) for row in training]
    for _ in range(2 if "mirror" in run.made else 1):
        jobs += [(row, _random_variant(run, random)) for row in training]
    known = score(run.engine, run.roots, jobs)
    fitted = fit(known.vectors, _kinds(known), float(settings["shrinkage"]))
    whitening, means, kinds = fitted
    unlimited = Domain(whitening, means, np.inf, kinds)
    nearest, _ = unlimited.nearest(torch.from_numpy(held_out.vectors).float())
    distances, sources = nearest.numpy(), held_out.sources
    one_way = np.array([_n_changes(variant) <= 1 for variant in held_out.variants])
    limits = [
        np.quantile(
            distances[one_way & (sources == source)], float(settings["quantile"])
        )
        for source in sorted(set(sources))
    ]
    return Domain(whitening, means, float(max(limits)), kinds)


def _some_of_each(rows: Sequence[Row]) -> list[Row]:
    """At most 1500 images of a source, evenly from all: enough for a covariance."""
    chosen: list[Row] = []
    for source in sorted({row.source for row in rows}):
        here = [row for row in rows if row.source == source]
        step = max(1.0, len(here) / _MOST_OF_A_SOURCE)
        chosen += [here[int(i * step)] for i in range(int(len(here) / step))]
    return chosen


def _n_changes(variant: Variant) -> int:
    """How many things are done to the image: turned, inverted, stretched, mirrored."""
    changed = (variant.turns > 0, variant.inverted, variant.stretch != 1)
    return sum(changed) + variant.mirrored


def _random_variant(run: Run, random: np.random.Generator) -> Variant:
    stretch = float(np.exp(random.uniform(-_HALF_STRETCH, _HALF_STRETCH)))
    way = run.ways[int(random.integers(len(run.ways)))]
    return way._replace(stretch=stretch)


def reference(bundle: Bundle, run: Run) -> dict[str, Any]:
    """Drift reference from the validation images as they are, phantoms left out.

    A run of phantoms only has nothing else, so they stand in.
    """
    rows = run.split("val")
    real = [row for row in rows if row.source != "phantom"] or rows
    predictions = list(_predictions(bundle, run, real))
    labels = bundle.description.labels
    outside = [not one.in_domain for one in predictions]
    unsure = [
        one.in_domain and is_undetermined(labels, one.probabilities)
        for one in predictions
    ]
    rates = {
        OUTSIDE: round(float(np.mean(outside)), 4),
        UNDETERMINED: round(float(np.mean(unsure)), 4),
    }
    return build_reference(columns(predictions), rates).to_dict()


def _predictions(bundle: Bundle, run: Run, rows: Sequence[Row]) -> Iterator[Prediction]:
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        images = [read_image(locate(row, run.roots)) for row in chosen]
        yield from bundle.predict(images)
