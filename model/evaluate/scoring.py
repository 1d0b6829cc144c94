"""Images, as they are and transformed, through the engine that serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torchvision.transforms.v2 import functional as v2

from model.data.dataset import locate, read_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.bundle.serve import Engine
    from model.data.manifest import Row

_BATCH = 32


class Variant(NamedTuple):
    """What is done to an image: quarter turns clockwise, inversion, width factor, and
    left-right mirroring, which comes before the turns.
    """

    turns: int = 0
    inverted: bool = False
    stretch: float = 1.0
    mirrored: bool = False

    def apply(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """(rows, columns) -> transformed display pixels."""
        grey = 1 - image if self.inverted else image
        if self.stretch != 1.0:
            grey = _stretched(grey, self.stretch)
        if self.mirrored:
            grey = grey[:, ::-1]
        return np.ascontiguousarray(np.rot90(grey, -self.turns))


AS_IS = Variant()
EVERY_WAY = tuple(Variant(k, inverted) for k in range(4) for inverted in (False, True))
MIRRORED = tuple(Variant(k, mirrored=True) for k in range(4))


@dataclass(frozen=True)
class Scores:
    """One entry per scored image; a manifest row comes once for each variant.

    logits: head name -> (n, classes). vectors: (n, dimension) of the domain gate.
    """

    rows: tuple[Row, ...]
    variants: tuple[Variant, ...]
    logits: dict[str, NDArray[np.float64]]
    vectors: NDArray[np.float64]

    def where(self, chosen: NDArray[np.bool_]) -> Scores:
        """Only the chosen entries."""
        index = np.flatnonzero(chosen)
        return Scores(
            tuple(self.rows[i] for i in index),
            tuple(self.variants[i] for i in index),
            {name: value[index] for name, value in self.logits.items()},
            self.vectors[index],
        )

    @property
    def patients(self) -> list[str]:
        """Patient of each entry."""
        return [row.patient for row in self.rows]

    @property
    def sources(self) -> NDArray[np.str_]:
        """Source of each entry."""
        return np.array([row.source for row in self.rows])

    @property
    def upright(self) -> NDArray[np.bool_]:
        """Entries as they are: not turned, inverted, stretched or mirrored."""
        return np.array([variant == AS_IS for variant in self.variants])


def score(
    engine: Engine, roots: Sequence[Path], jobs: Iterable[tuple[Row, Variant]]
) -> Scores:
    """Run every (row, variant), in batches; images come through `read_image`.

    A row's variants should follow each other: an image is decoded once for each batch.
    """
    rows: list[Row] = []
    variants: list[Variant] = []
    logits: dict[str, list[NDArray[np.float64]]] = {}
    vectors: list[NDArray[np.float64]] = []
    for batch in _batches(jobs):
        decoded = {row.path: row for row, _ in batch}
        pixels = {p: read_image(locate(row, roots)) for p, row in decoded.items()}
        images = [variant.apply(pixels[row.path]) for row, variant in batch]
        output = engine.run(images)
        vectors.append(engine.vectors(output, images).double().numpy())
        for name, value in output.logits.items():
            logits.setdefault(name, []).append(value.double().numpy())
        rows += [row for row, _ in batch]
        variants += [variant for _, variant in batch]
    joined = {name: np.concatenate(parts) for name, parts in logits.items()}
    return Scores(tuple(rows), tuple(variants), joined, np.concatenate(vectors))


def _batches(
    jobs: Iterable[tuple[Row, Variant]],
) -> Iterable[list[tuple[Row, Variant]]]:
    batch: list[tuple[Row, Variant]] = []
    for job in jobs:
        batch.append(job)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _stretched(image: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    size = [image.shape[0], max(1, round(image.shape[1] * factor))]
    wide = v2.resize(torch.from_numpy(image)[None], size, antialias=True)
    return np.asarray(wide[0].clamp(0, 1).numpy(), np.float32)
