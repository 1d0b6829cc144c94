"""What a bundle says of local images or series, and where they lie in its domain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from model.bundle import BundleError, Prediction, SeriesPrediction
from model.bundle.on_disk import Slices, look_of, predicted, slices_said, spec_of
from model.bundle.volume import aggregated
from model.data.dataset import locate, read_image
from model.pixels import UnsupportedPixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle.serve import Bundle
    from model.data.manifest import Row

    Vectors = NDArray[np.float64]

_BATCH = 16
Found = TypeVar("Found")


@dataclass(frozen=True)
class Scored:
    """logits: head -> (n, classes). home: predictions at home. mean: whitened.

    site_distances: of each image from the mean of the others; of a series, that of its
    median slice. at_site: what a bundle with the site's calibration says of them.
    """

    logits: dict[str, Vectors]
    home: Sequence[Prediction | SeriesPrediction]
    patients: tuple[str, ...]
    mean: Vectors
    site_distances: Vectors
    at_site: Callable[[Bundle], Sequence[Prediction | SeriesPrediction]]


def score(bundle: Bundle, rows: Sequence[Row], roots: Sequence[Path]) -> Scored:
    """The rows through the network, once for series. Raises BundleError for no rows."""
    if not rows:
        raise BundleError("nothing is named: give a table with one line for each")
    if bundle.description.input.series is None:
        return _of_images(bundle, rows, roots)
    return _of_series(bundle, rows, roots)


def _of_images(bundle: Bundle, rows: Sequence[Row], roots: Sequence[Path]) -> Scored:
    engine = bundle.parts.engine
    logits: dict[str, list[Vectors]] = {}
    white: list[Vectors] = []
    home: list[Prediction] = []
    for images in _batches(rows, roots):
        output = engine.run(images)
        for name, value in output.logits.items():
            logits.setdefault(name, []).append(value.double().numpy())
        vectors = engine.vectors(output, images)
        white += list(bundle.parts.domain.whitened(vectors).numpy()[:, None])
        home += bundle.predict(images)

    def at_site(site: Bundle) -> list[Prediction]:
        return [p for images in _batches(rows, roots) for p in site.predict(images)]

    joined = {name: np.concatenate(parts) for name, parts in logits.items()}
    patients = tuple(row.patient for row in rows)
    return Scored(joined, home, patients, *own_domain(white), at_site)


def _of_series(bundle: Bundle, rows: Sequence[Row], roots: Sequence[Path]) -> Scored:
    parts, spec = bundle.parts, spec_of(bundle)
    look, how = look_of(spec), spec.aggregation
    found = [
        _readable(row, partial(slices_said, parts.engine, locate(row, roots), look))
        for row in rows
    ]
    logits = {
        name: np.stack([aggregated(x.logits[name], how).double() for x in found])
        for name in found[0].logits
    }
    white = [_whitened(bundle, one) for one in found]
    patients = tuple(row.patient for row in rows)

    def at_site(site: Bundle) -> list[SeriesPrediction]:
        return [predicted(site, one) for one in found]

    home = at_site(bundle)
    return Scored(logits, home, patients, *own_domain(white), at_site)


def _whitened(bundle: Bundle, found: Slices) -> Vectors:
    vectors = torch.from_numpy(found.vectors).float()
    return np.asarray(bundle.parts.domain.whitened(vectors).numpy(), np.float64)


def own_domain(white: Sequence[Vectors]) -> tuple[Vectors, Vectors]:
    """Mean of the whitened vectors, and distance of each from the mean of the others.

    white: (slices, dimension) of each series, (1, dimension) of an image. Every series
    counts the same, however long; its distance is that of its median slice, which is
    what the domain gate looks at in service.
    """
    each = np.stack([one.mean(0) for one in white])
    n, dimension = each.shape
    mean = each.mean(0)
    others = (n * mean - each) / max(1, n - 1)
    away = [
        np.sort(np.linalg.norm(one - other, axis=1))[len(one) // 2]
        for one, other in zip(white, others, strict=True)
    ]
    return mean, np.array(away) / dimension**0.5


def _batches(
    rows: Sequence[Row], roots: Sequence[Path]
) -> Iterator[list[NDArray[np.float32]]]:
    for start in range(0, len(rows), _BATCH):
        chosen = rows[start : start + _BATCH]
        yield [
            _readable(row, partial(read_image, locate(row, roots))) for row in chosen
        ]


def _readable(row: Row, read: Callable[[], Found]) -> Found:
    try:
        return read()
    except UnsupportedPixels as error:
        raise BundleError(f"{row.path}: {error}; or leave it out") from error
