"""A series bundle and series on the disk: for evaluation and for commissioning.

Slices are read, ordered and shown as in service, and go through the network once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from model.bundle.errors import BundleError, NonFinite
from model.bundle.volume import Said, answer
from model.data.volumes import Look, stacks
from model.preparation import statistics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle.engine import Engine
    from model.bundle.prediction import SeriesPrediction
    from model.bundle.series import SeriesSpec
    from model.bundle.serve import Bundle

_BATCH = 32


class Slices(NamedTuple):
    """What the network says of the slices of one series.

    logits: head -> (slices, classes). vectors: (slices, d) of the domain gate.
    statistics: of the grey values of each slice.
    """

    logits: dict[str, torch.Tensor]
    vectors: NDArray[np.float64]
    statistics: list[list[float]]


def spec_of(bundle: Bundle) -> SeriesSpec:
    """What a series bundle wants; BundleError for one of single images."""
    spec = bundle.description.input.series
    if spec is None:
        raise BundleError("this bundle is for single images: give a series bundle")
    return spec


def look_of(spec: SeriesSpec) -> Look:
    """How a bundle has slices shown, and which it reads."""
    return Look(
        spec.ranges,
        spec.stack_depth,
        spec.n_slices,
        spec.central_fraction,
        percentiles=bool(spec.percentiles),
    )


def slices_said(engine: Engine, path: Path, look: Look) -> Slices:
    """The series at a path through the network.

    Raises ManifestError, UnsupportedPixels, and NonFinite for a slice whose output is
    not a number.
    """
    logits: dict[str, list[torch.Tensor]] = {}
    vectors: list[NDArray[np.float64]] = []
    grey: list[list[float]] = []
    for images in _batches(path, look):
        output = engine.run(images)
        grey += [statistics(image) for image in images]
        measured = engine.measured(output, grey[-len(images) :])
        vectors.append(measured.double().numpy())
        for name, value in output.logits.items():
            logits.setdefault(name, []).append(value)
    joined = {name: torch.cat(parts) for name, parts in logits.items()}
    found = Slices(joined, np.concatenate(vectors), grey)
    if not (
        np.isfinite(found.vectors).all()
        and all(bool(torch.isfinite(one).all()) for one in joined.values())
    ):
        raise NonFinite(
            f"the network's output for {path.name} is not a number: take it out, and"
            " report it together with the bundle's digest"
        )
    return found


def predicted(bundle: Bundle, found: Slices) -> SeriesPrediction:
    """What a bundle says of a series, as `Bundle.sum_up` does in service."""
    how = spec_of(bundle).aggregation
    where = bundle.parts.domain.judge(torch.from_numpy(found.vectors).float())
    said = Said(found.logits, where, found.statistics)
    return answer(bundle.parts, bundle.description.labels, how, said)


def _batches(path: Path, look: Look) -> Iterator[list[NDArray[np.float32]]]:
    # A short series repeats slices in training; service reads each once.
    numbers = sorted(set(look.read(path)))
    for start in range(0, len(numbers), _BATCH):
        found = stacks(path, numbers[start : start + _BATCH], look)
        planes = (one[0] if len(one) == 1 else one for one in found)
        yield [(one / np.float32(255)).astype(np.float32) for one in planes]
