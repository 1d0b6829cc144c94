"""The training loop: every draw is a function of (seed, step), so a run resumes
bit by bit from any checkpoint on the CPU.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.progress import track
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.data import images, manifest, phantoms
from model.data.dataset import BalancedBatches, Images, cache_folder, targets
from model.network import Classifier, build
from model.train.checkpoint import (
    load_checkpoint,
    save_checkpoint,
    save_weights,
    write_atomically,
)
from model.train.losses import masked_loss

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from model.data.manifest import Row
    from model.train.config import HeadRecipe, Recipe
    from model.transforms import TrainPreset

_TRAIN_PHANTOM_SEED, _VAL_PHANTOM_SEED = 10_000, 50_000
_SMOKE_IMAGES = 64
_QUARTER_TURNS = 4


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    cache: Path | None = None,
    smoke: bool = False,
) -> Path:
    """Train, or go on with, one run; returns the path of `model.safetensors`.

    data: folder of the images (with labels.csv where the recipe asks for it). run:
    folder that receives phantoms, manifest.csv, recipe.json, metrics.jsonl,
    checkpoint.pt and the weights. smoke: a few steps on a few images.
    """
    recipe = _smoke(recipe) if smoke else recipe
    run.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.threads)
    rows = prepare(recipe, data, run)
    training = [row for row in rows if row.split == "train"]
    store = Images(
        (data, run), training, side=recipe.data.side, cache=cache_folder(cache, run)
    )
    _write_json(run / "recipe.json", recipe.to_dict())
    trainer = Trainer(recipe, store, run)
    trainer.resume()
    trainer.go_on()
    return trainer.finish()


def prepare(recipe: Recipe, data: Path, run: Path) -> list[Row]:
    """Manifest of all sources, checked for patients in two splits; also written."""
    rows: list[Row] = []
    for source in recipe.data.sources:
        rows += _source(source, recipe, data, run)
    rows = [r for r in rows if not recipe.data.only or r.source in recipe.data.only]
    manifest.check_split(rows)
    manifest.write(run / "manifest.csv", rows)
    return rows


def _source(source: str, recipe: Recipe, data: Path, run: Path) -> list[Row]:
    if source == "images":
        found = images.rows(data)
        if recipe.optimiser.steps < _SMOKE_IMAGES:
            return found[:: max(1, len(found) // _SMOKE_IMAGES)]
        return found
    if source == "phantom":
        return phantoms.write(
            run, n=recipe.data.n_phantoms, first_seed=_TRAIN_PHANTOM_SEED, split="train"
        ) + phantoms.write(
            run, n=recipe.data.n_phantoms_val, first_seed=_VAL_PHANTOM_SEED, split="val"
        )
    raise manifest.ManifestError(
        f"source {source!r} is unknown: use 'images' or 'phantom'"
    )


class Trainer:
    """Model, average and optimiser of one run, and the step they are at."""

    def __init__(self, recipe: Recipe, store: Images, run: Path) -> None:
        self._recipe = recipe
        self._store = store
        self._run = run
        torch.manual_seed(recipe.seed)
        model = build(
            recipe.network.architecture,
            [head.head() for head in recipe.heads],
            feature_stride=recipe.network.feature_stride,
        )
        self._model: Classifier = model.to(memory_format=torch.channels_last)
        self._average = AveragedModel(
            self._model,
            multi_avg_fn=get_ema_multi_avg_fn(recipe.optimiser.ema),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self._optimiser = torch.optim.AdamW(
            _groups(self._model, recipe.optimiser.weight_decay),
            lr=recipe.optimiser.learning_rate,
        )
        self._batches = BalancedBatches(
            store.rows, recipe.balance, recipe.optimiser.batch, recipe.seed
        )
        self._targets = {
            head.name: torch.from_numpy(targets(store.rows, head.head()))
            for head in recipe.heads
            if not head.made
        }
        self._weight = torch.tensor([row.weight for row in store.rows])
        self.step = 0

    @property
    def _checkpoint(self) -> Path:
        return self._run / "checkpoint.pt"

    def resume(self) -> None:
        """Go on where the checkpoint of the run folder stands, if there is one."""
        if not self._checkpoint.exists():
            return
        state = load_checkpoint(self._checkpoint)
        self._model.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.step = int(state["step"])

    def go_on(self, until: int | None = None) -> None:
        """Train up to the recipe's last step, or to `until`."""
        settings = self._recipe.optimiser
        last = settings.steps if until is None else until
        steps = range(self.step, last)
        for _ in track(steps, description=self._recipe.name, disable=not steps):
            started = time.monotonic()
            losses = self._one_step()
            self.step += 1
            if self.step % settings.log_steps == 0:
                self._log(losses, time.monotonic() - started)
            if self.step % settings.checkpoint_steps == 0 or self.step == last:
                self.save()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "model": self._model.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "step": self.step,
        }
        save_checkpoint(self._checkpoint, state)

    def finish(self) -> Path:
        """Write the averaged weights; returns their path."""
        path = self._run / "model.safetensors"
        save_weights(path, self._average.module.state_dict())
        return path

    def _one_step(self) -> dict[str, float]:
        settings = self._recipe.optimiser
        rate = learning_rate(self.step, settings.learning_rate, settings)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        batch, known = self._draw()
        output = self._model(batch)
        losses = {
            head.name: head.weight * loss
            for head, loss in zip(
                self._recipe.heads, self._losses(output.logits, known), strict=True
            )
        }
        total = torch.stack(list(losses.values())).sum()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), settings.clip_norm)
        self._optimiser.step()
        self._average.update_parameters(self._model)
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _draw(self) -> tuple[Tensor, dict[str, Tensor]]:
        """This step's augmented batch and the target of every head."""
        indices = self._batches(self.step)
        random = _generator(self._recipe.seed, self.step)
        turns = _turns(len(indices), self._recipe.data.turned, random)
        inverted = torch.rand(len(indices), generator=random)
        inverted = inverted < self._recipe.data.inverted
        mirrored = _mirrored(len(indices), self._recipe.data.mirrored, random)
        images = self._store.batch(indices)
        # Mirrored first and turned then, so that the top of a mirrored image goes where
        # the top of a plain one goes: rotation and mirror are separate questions.
        images = torch.where(mirrored[:, None, None], images.flip(2), images)
        pixels = self._preset()(images, turns, inverted, random)
        made = {
            "rotation": torch.eye(_QUARTER_TURNS)[turns],
            "inversion": inverted.float()[:, None],
            "mirror": mirrored.float()[:, None],
        }
        known = {
            head.name: made[head.made]
            if head.made
            else self._targets[head.name][indices]
            for head in self._recipe.heads
        }
        known["weight"] = self._weight[indices]
        return pixels.contiguous(memory_format=torch.channels_last), known

    def _preset(self) -> TrainPreset:
        """This step's preset: early steps may use smaller images."""
        settings = self._recipe.optimiser
        if self.step >= settings.small_steps:
            return self._recipe.train_preset
        return replace(self._recipe.train_preset, size=settings.small_size)

    def _losses(
        self, logits: dict[str, Tensor], known: dict[str, Tensor]
    ) -> list[Tensor]:
        smoothing = self._recipe.optimiser.label_smoothing
        return [
            masked_loss(
                head.head(),
                logits[head.name],
                known[head.name],
                known["weight"],
                smoothing,
            )
            for head in self._recipe.heads
        ]

    def _log(self, losses: dict[str, float], seconds: float) -> None:
        line = {"step": self.step, "seconds": round(seconds, 4), **losses}
        with (self._run / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def learning_rate(step: int, peak: float, settings: Any) -> float:
    """Linear warm-up, then a cosine to zero at the last step."""
    if step < settings.warmup_steps:
        return peak * (step + 1) / float(settings.warmup_steps)
    rest = max(1, settings.steps - settings.warmup_steps)
    done = (step - settings.warmup_steps) / rest
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _generator(seed: int, step: int) -> torch.Generator:
    mixed = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(mixed % 2**63)


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


def _groups(model: Classifier, decay: float) -> Sequence[dict[str, Any]]:
    """Weight decay on kernels only, not on norms and biases."""
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [
        {"params": kernels, "weight_decay": decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _smoke(recipe: Recipe) -> Recipe:
    """The same recipe, small enough to see within seconds that all parts fit."""
    return replace(
        recipe,
        data=replace(recipe.data, n_phantoms=8, n_phantoms_val=4, side=64),
        optimiser=replace(
            recipe.optimiser,
            steps=6,
            batch=8,
            warmup_steps=2,
            checkpoint_steps=3,
            log_steps=2,
        ),
    )


def _write_json(path: Path, value: HeadRecipe | dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, default=list) + "\n"
    write_atomically(path, text.encode())
