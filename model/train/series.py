"""Learning from series whose labels are of the whole: several slices, one answer.

A step looks at some slices of each series, spread over its length. Their logits become
one logit as they do in service (`model.bundle.series.Aggregation`), and the label of
the series is the target of that: which slices show the finding need not be known.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from model.bundle.series import Aggregation
from model.bundle.volume import aggregated
from model.data.dataset import BalancedBatches, targets
from model.data.volumes import Look
from model.train.draw import Batch, stream
from model.train.validation import aurocs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from model.data.volumes import Volumes
    from model.train.config import Recipe, SeriesRecipe
    from model.train.group import Group
    from model.transforms import TrainPreset

_SLICE_STREAM = 1_000_081


def look_of(recipe: SeriesRecipe) -> Look:
    """How the slices of a recipe are shown, and which are kept."""
    ranges = recipe.percentiles or recipe.windows
    return Look(
        windows=tuple((float(c), float(w)) for c, w in ranges),
        percentiles=bool(recipe.percentiles),
        depth=recipe.stack_depth,
        n_slices=recipe.n_slices,
        central_fraction=recipe.central_fraction,
    )


def aggregation_of(recipe: SeriesRecipe) -> Aggregation:
    """How the logits of slices become one."""
    return Aggregation(recipe.aggregation, recipe.k)


def summed(logits: Tensor, how: Aggregation, n_slices: int) -> Tensor:
    """(series x slices, classes) -> (series, classes)."""
    each = logits.reshape(-1, n_slices, logits.shape[-1])
    return torch.stack([aggregated(one, how) for one in each])


class SeriesDraw:
    """step -> this process's part of the batch: as `Draw`, slices of series.

    `Batch.pixels` is (series x slices_per_step, channels, N, N).
    """

    def __init__(
        self, recipe: Recipe, store: Volumes, group: Group, device: torch.device
    ) -> None:
        self._recipe = recipe
        self._store = store
        self._group = group
        self._device = device
        shares = recipe.balance or Counter(row.source for row in store.rows)
        self._batches = BalancedBatches(
            store.rows, shares, recipe.optimiser.batch, recipe.seed
        )
        policy = recipe.data.policy()
        self._targets = {
            head.name: torch.from_numpy(targets(store.rows, head.head(), policy))
            for head in recipe.heads
        }
        self._weight = torch.tensor([row.weight for row in store.rows])

    def __call__(self, step: int) -> Batch:
        """Every process draws for all and keeps its own, whatever their number."""
        indices = self._batches(step)
        slices = self._slices(step, len(indices))
        random = torch.Generator().manual_seed(stream(self._recipe.seed, step))
        mirrored = torch.rand(len(indices), generator=random)
        mine = list(range(self._group.rank, len(indices), self._group.world))
        chosen = [indices[one] for one in mine]
        stacks = self._store.batch(chosen, slices[mine]).to(self._device)
        flip = (mirrored[mine] < self._recipe.data.mirrored).to(self._device)
        stacks = torch.where(flip[:, None, None, None, None], stacks.flip(4), stacks)
        pixels = self._varied(stacks.flatten(0, 1), random)
        known = {name: value[chosen] for name, value in self._targets.items()}
        return Batch(pixels, known, self._weight[chosen])

    def _varied(self, stacks: Tensor, random: torch.Generator) -> Tensor:
        n = len(stacks)
        turns, never = torch.zeros(n, dtype=torch.int64), torch.zeros(n).bool()
        return self._preset()(stacks, turns, never, random)

    def _preset(self) -> TrainPreset:
        """Without what is done to whole pictures of eight bits only."""
        return replace(self._recipe.train_preset, equalise=0.0, jpeg=0.0)

    def _slices(self, step: int, n_series: int) -> NDArray[np.int64]:
        """(series, slices_per_step): one of each equal part of the kept slices."""
        kept, n = self._recipe.series.n_slices, self._recipe.series.slices_per_step
        random = np.random.default_rng([self._recipe.seed, step, _SLICE_STREAM])
        edges = np.arange(n + 1) * kept // n
        low, high = edges[:-1], edges[1:]
        share = random.random((n_series, n))
        return np.asarray(low + (share * (high - low)).astype(np.int64))


class SeriesValidator:
    """AUROC of every class on the validation series, on all their kept slices."""

    def __init__(self, recipe: Recipe, store: Volumes, group: Group) -> None:
        self._recipe = recipe
        self._store = store
        self._group = group

    def __call__(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        """head/class -> AUROC; a class without positives or negatives is left out."""
        was_training = model.training
        model.eval()
        mine = range(self._group.rank, len(self._store), self._group.world)
        pairs = [(index, self._said(model, device, index)) for index in mine]
        model.train(was_training)
        ordered = dict(self._group.gather_values(pairs))
        found: dict[str, float] = {}
        for head in self._recipe.heads:
            logits = np.array(
                [ordered[index][head.name] for index in range(len(self._store))]
            )
            known = targets(self._store.rows, head.head())
            found |= aurocs(head.head(), logits, known)
        return found

    def _said(
        self, model: nn.Module, device: torch.device, index: int
    ) -> dict[str, list[float]]:
        stacks = self._store.batch([index])[0].numpy().astype(np.float32) / 255
        canvases = torch.stack([self._recipe.eval_preset(one) for one in stacks])
        with torch.inference_mode():
            output = model(canvases.to(device))
        how = aggregation_of(self._recipe.series)
        return {
            name: aggregated(value.float().cpu(), how).tolist()
            for name, value in output.logits.items()
        }
