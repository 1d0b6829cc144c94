"""One step's batch: which images, how they are changed, and what is true of them.

Every draw is a function of (seed, step, chunk), so nothing needs to be stored to go on.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from model.data.dataset import BalancedBatches, targets
from model.train.group import Group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from model.data.dataset import Images
    from model.data.manifest import Row
    from model.train.config import Recipe
    from model.transforms import TrainPreset

_QUARTER_TURNS = 4
_MIXUP_STREAM = 1_000_003
_SHUFFLE_STREAM = 1_000_033


class Batch(NamedTuple):
    """pixels: (batch, 1, N, N), on the device of the run. targets: head -> (batch,
    classes). weight: (batch,).
    """

    pixels: Tensor
    targets: dict[str, Tensor]
    weight: Tensor


class Draw:
    """step -> this process's part of the batch."""

    def __init__(
        self,
        recipe: Recipe,
        store: Images,
        group: Group | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._recipe = recipe
        self._store = store
        self._group = group or Group()
        self._device = device or torch.device("cpu")
        store.move(self._device)
        shares = recipe.balance or Counter(row.source for row in store.rows)
        self._batches = BalancedBatches(
            store.rows, shares, recipe.optimiser.batch, recipe.seed
        )
        policy = recipe.data.policy()
        self._targets = {
            head.name: torch.from_numpy(targets(store.rows, head.head(), policy))
            for head in recipe.heads
            if not head.made
        }
        if recipe.data.shuffled:
            self._targets = _shuffled(self._targets, store.rows, recipe.seed)
        self._weight = torch.tensor([row.weight for row in store.rows])

    def __call__(self, step: int) -> Batch:
        """Whole chunks when there is one for each process, else a slice of all."""
        indices = self._batches(step)
        n_chunks, world = self._recipe.optimiser.chunks, self._group.world
        mine = range(n_chunks)
        if n_chunks % world == 0:
            mine = range(self._group.rank, n_chunks, world)
        parts = [self._chunk(step, chunk, indices[chunk::n_chunks]) for chunk in mine]
        batch = _concatenated(parts)
        if n_chunks % world == 0:
            return batch
        own = slice(self._group.rank, None, world)
        chosen = {name: value[own] for name, value in batch.targets.items()}
        return Batch(batch.pixels[own], chosen, batch.weight[own])

    def _chunk(self, step: int, chunk: int, indices: list[int]) -> Batch:
        data, n = self._recipe.data, len(indices)
        random = torch.Generator().manual_seed(stream(self._recipe.seed, step, chunk))
        turns = _turns(n, data.turned, random)
        inverted = torch.rand(n, generator=random) < data.inverted
        mirrored = _mirrored(n, data.mirrored, random)
        images = self._store.batch(indices).to(self._device)
        # Mirrored first and turned then: the top of a mirrored image goes where the top
        # of a plain one goes. The mirror is asked of upright images; a turned one must
        # be put right first, so its answer is no.
        flipped = mirrored[:, None, None].to(self._device)
        images = torch.where(flipped, images.flip(2), images)
        pixels = self._preset(step)(images, turns, inverted, random)
        made = made_targets(turns, inverted, mirrored)
        if data.shuffled:
            other = torch.randperm(n, generator=random)
            made = {name: answer[other] for name, answer in made.items()}
        known = {
            head.name: made[head.made]
            if head.made
            else self._targets[head.name][indices]
            for head in self._recipe.heads
        }
        batch = Batch(pixels, known, self._weight[indices])
        return self._mixed(batch, step, chunk)

    def _preset(self, step: int) -> TrainPreset:
        """This step's preset: early steps may use smaller images."""
        settings = self._recipe.optimiser
        if step >= settings.small_steps:
            return self._recipe.train_preset
        return replace(self._recipe.train_preset, size=settings.small_size)

    def _mixed(self, batch: Batch, step: int, chunk: int) -> Batch:
        """Mixup (arXiv 1710.09412): each image and its targets with those of another.

        A target that is unknown for either is unknown for both.
        """
        alpha = self._recipe.optimiser.mixup
        if not alpha:
            return batch
        random = np.random.default_rng([self._recipe.seed, step, chunk, _MIXUP_STREAM])
        n = len(batch.pixels)
        share = torch.from_numpy(random.beta(alpha, alpha, n).astype(np.float32))
        other = torch.from_numpy(random.permutation(n))

        def mix(value: Tensor) -> Tensor:
            part = share.reshape(-1, *[1] * (value.ndim - 1)).to(value.device)
            return part * value + (1 - part) * value[other.to(value.device)]

        mixed = {name: mix(value) for name, value in batch.targets.items()}
        return Batch(mix(batch.pixels), mixed, mix(batch.weight))


def made_targets(
    turns: Tensor, inverted: Tensor, mirrored: Tensor
) -> dict[str, Tensor]:
    """Targets of the questions whose answer is made, each (n, classes).

    turns: int64 (n,), quarter turns clockwise. inverted, mirrored: bool (n,).
    """
    return {
        "rotation": torch.eye(_QUARTER_TURNS)[turns],
        "inversion": inverted.float()[:, None],
        "mirror": (mirrored & (turns == 0)).float()[:, None],
    }


def _shuffled(
    answers: dict[str, Tensor], rows: Sequence[Row], seed: int
) -> dict[str, Tensor]:
    """The answers of other images of the same source, the same ones at every step:
    there is nothing to learn but by heart (Adebayo et al., NeurIPS 2018, section 4).
    """
    random = np.random.default_rng([seed, _SHUFFLE_STREAM])
    sources = np.array([row.source for row in rows])
    taken = np.arange(len(rows))
    for source in np.unique(sources):
        here = np.flatnonzero(sources == source)
        taken[here] = random.permutation(here)
    return {name: answer[torch.from_numpy(taken)] for name, answer in answers.items()}


def stream(seed: int, step: int, chunk: int = 0) -> int:
    """A seed of its own for each step, and for each chunk after the first."""
    entropy = [seed, step] if not chunk else [seed, step, chunk]
    mixed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    return mixed % 2**63


def _concatenated(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    known = {
        name: torch.cat([part.targets[name] for part in parts])
        for name in parts[0].targets
    }
    pixels = torch.cat([part.pixels for part in parts])
    return Batch(pixels, known, torch.cat([part.weight for part in parts]))


def _turns(n: int, share: float, random: torch.Generator) -> Tensor:
    """Quarter turns clockwise: 1, 2 or 3 for the given share of images, else 0."""
    turned = torch.rand(n, generator=random) < share
    turns = torch.randint(1, _QUARTER_TURNS, (n,), generator=random)
    return turns * turned


def _mirrored(n: int, share: float, random: torch.Generator) -> Tensor:
    """Which images are mirrored, bool (n,); nothing is drawn when none is."""
    if not share:
        return torch.zeros(n, dtype=torch.bool)
    return torch.rand(n, generator=random) < share
