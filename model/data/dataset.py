"""Manifest -> pixels: a decoded cache for training, whole images for evaluation."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as v2

from model.data.cache import cached
from model.data.files import locate, read_image, unchanged
from model.data.manifest import ManifestError, Row
from model.data.policy import LabelPolicy
from model.pixels import UnsupportedPixels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from model.network import Head

_SHARE_OF_MEMORY = 4
__all__ = [
    "BalancedBatches",
    "Images",
    "cache_folder",
    "locate",
    "read_image",
    "targets",
]


class Images(Dataset[torch.Tensor]):
    """The images of a manifest as uint8 squares, decoded once into a cache file.

    Each item is uint8 (side, side). Images are squeezed to squares: the aspect is not
    a cue, and the training preset draws a new one for every image.
    """

    def __init__(
        self, roots: Sequence[Path], rows: Sequence[Row], *, side: int, cache: Path
    ) -> None:
        self.rows = tuple(rows)
        self._roots = tuple(roots)
        self._side = side
        self._pixels = self._open(cache)
        self._there: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.from_numpy(self._pixels[index].copy())

    def batch(self, indices: Sequence[int]) -> torch.Tensor:
        """uint8 (len(indices), side, side), where the images are."""
        if self._there is None:
            return torch.from_numpy(self._pixels[np.asarray(indices)])
        return self._there[torch.tensor(indices).to(self._there.device)]

    def move(self, device: torch.device) -> None:
        """Hold the images in the memory of an accelerator, if they fit in a quarter of
        what is free there: a step then copies numbers of images and no pixels.
        """
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self._pixels.nbytes <= free // _SHARE_OF_MEMORY:
                self._there = torch.from_numpy(np.array(self._pixels)).to(device)

    def _open(self, cache: Path) -> NDArray[np.uint8]:
        key = hashlib.sha256(
            "".join(f"{self._side}{r.path}{r.sha256}" for r in self.rows).encode()
        ).hexdigest()
        path = cache / f"{key[:24]}.npy"
        return cached(path, len(self.rows), self._side, self._square)

    def _square(self, index: int) -> NDArray[np.uint8]:
        row = self.rows[index]
        path = unchanged(row, self._roots)
        try:
            image = torch.from_numpy(read_image(path))[None]
        except UnsupportedPixels as error:
            raise ManifestError(f"{row.path}: {error}") from error
        square = v2.resize(image, [self._side, self._side], antialias=True)
        eight_bit = (square[0] * 255).round().clamp(0, 255)
        return np.asarray(eight_bit.numpy(), np.uint8)


class BalancedBatches:
    """Indices of each batch, a pure function of the seed and the step.

    shares: stratum -> share of the batch. A stratum is a source (`phantom`) or a
    source and a label (`nih_cxr14/view-AP`). Within a stratum every image comes once
    before any comes twice.
    """

    def __init__(
        self, rows: Sequence[Row], shares: Mapping[str, float], batch: int, seed: int
    ) -> None:
        self._seed = seed
        self._members = [_members(rows, stratum) for stratum in shares]
        self._counts = _counts(list(shares.values()), batch)

    def __call__(self, step: int) -> list[int]:
        """Row indices of this step's batch."""
        drawn: list[int] = []
        for order, (members, count) in enumerate(
            zip(self._members, self._counts, strict=True)
        ):
            for position in range(step * count, (step + 1) * count):
                round_, place = divmod(position, len(members))
                drawn.append(int(self._permuted(order, round_, members)[place]))
        return drawn

    def _permuted(
        self, order: int, round_: int, members: NDArray[np.int64]
    ) -> NDArray[Any]:
        random = np.random.default_rng([self._seed, order, round_])
        return random.permutation(members)


def targets(
    rows: Sequence[Row], head: Head, policy: LabelPolicy | None = None
) -> NDArray[np.float32]:
    """(rows, classes) label values; NaN where unknown or masked.

    policy: what uncertain and blank labels become; both unknown when None.
    """
    chosen = policy or LabelPolicy()
    values = np.full((len(rows), len(head.classes)), np.nan, np.float32)
    for index, row in enumerate(rows):
        if head.name not in row.mask:
            values[index] = [chosen.target(row, name) for name in head.classes]
    return values


def _members(rows: Sequence[Row], stratum: str) -> NDArray[np.int64]:
    source, _, label = stratum.partition("/")
    found = [
        index
        for index, row in enumerate(rows)
        if row.source == source and (not label or row.labels.get(label) == 1)
    ]
    if not found:
        raise ManifestError(f"no image is in stratum {stratum}: correct [balance]")
    return np.asarray(found, np.int64)


def _counts(shares: list[float], batch: int) -> list[int]:
    """Whole numbers that add up to batch, by largest remainder."""
    exact = np.asarray(shares) / sum(shares) * batch
    counts = np.floor(exact).astype(int)
    for index in np.argsort(counts - exact)[: batch - counts.sum()]:
        counts[index] += 1
    return [int(count) for count in counts]


def cache_folder(chosen: Path | None, run: Path) -> Path:
    """Where decoded images are kept: as asked, by environment, or beside the run."""
    if chosen is not None:
        return chosen
    named = os.environ.get("DICOMNODE_MODEL_CACHE")
    return type(run)(named) if named else run / "cache"
