"""Model, average and optimiser of one run, and the step they are at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.progress import track
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.data.volumes import Volumes
from model.network import Classifier, build
from model.train.checkpoint import load_checkpoint, save_checkpoint, save_weights
from model.train.draw import Draw, stream
from model.train.group import Group
from model.train.losses import masked_loss
from model.train.optimisers import learning_rate, optimiser
from model.train.record import Record
from model.train.series import (
    SeriesDraw,
    SeriesValidator,
    aggregation_of,
    look_of,
    summed,
)
from model.train.teachers import Teachers
from model.train.validation import Validator, best, is_over, mean_auroc

if TYPE_CHECKING:
    from torch import Tensor, nn

    from model.data.dataset import Images
    from model.train.config import Recipe
    from model.train.draw import Batch


class Trainer:
    """Every draw is a function of (seed, step), so a run resumes bit by bit from any
    checkpoint on the CPU. held_out: validation images, for recipes that watch them.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: Images | Volumes,
        run: Path,
        *,
        held_out: Images | Volumes | None = None,
        group: Group | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._recipe = recipe
        self._run = run
        self._group = group or Group()
        self._device = device or torch.device("cpu")
        torch.manual_seed(recipe.seed)
        model = self._group.synchronised(_network(recipe)).to(self._device)
        self._model = model.to(memory_format=torch.channels_last)
        self._average = AveragedModel(
            self._model,
            multi_avg_fn=get_ema_multi_avg_fn(recipe.optimiser.ema),  # type: ignore[no-untyped-call]
            use_buffers=True,
        )
        self._forward: Any = (
            torch.compile(self._model) if recipe.optimiser.compile else self._model
        )
        self._optimiser = optimiser(self._model, recipe.optimiser)
        self._draw = _draw(recipe, store, self._group, self._device)
        self._taught = Teachers(recipe.distil, recipe.heads, self._device)
        self._validate = (
            _validator(recipe, held_out, self._group)
            if held_out is not None and recipe.validation.every_steps
            else None
        )
        self.history: list[float] = []
        self._best: dict[str, Tensor] = {}
        self.step = 0

    @property
    def _checkpoint(self) -> Path:
        return self._run / "checkpoint.pt"

    @property
    def stopped(self) -> bool:
        """Whether validation has stopped rising."""
        return is_over(self.history, self._recipe.validation)

    def resume(self) -> None:
        """Go on where the checkpoint of the run folder stands, if there is one."""
        if not self._checkpoint.exists():
            return
        state = load_checkpoint(self._checkpoint)
        self._model.load_state_dict(state["model"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.history = list(state["history"])
        self._best = dict(state["best"])
        self.step = int(state["step"])

    def go_on(self, until: int | None = None) -> None:
        """Train to the recipe's last step, or to `until`, or until it stops rising."""
        settings = self._recipe.optimiser
        last = settings.steps if until is None else until
        record = Record(self._run, self.step) if self._group.first else None
        steps = range(self.step, last)
        quiet = not steps or not self._group.first
        for _ in track(steps, description=self._recipe.name, disable=quiet):
            if self.stopped:
                break
            started = time.monotonic()
            losses = self._one_step()
            self.step += 1
            if record and self.step % settings.log_steps == 0:
                seconds = round(time.monotonic() - started, 4)
                found = {name: float(loss) for name, loss in losses.items()}
                record.write(self.step, {"seconds": seconds, **found})
            self._watch(record)
            due = self.step % settings.checkpoint_steps == 0 or self.step == last
            if due or self.stopped:
                self.save()
        if record:
            record.close()

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "model": self._model.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "history": self.history,
            "best": self._best,
            "step": self.step,
        }
        if self._group.first:
            save_checkpoint(self._checkpoint, state)
        self._group.wait()

    def finish(self) -> Path:
        """Write the weights to keep; returns their path.

        The running average, or, with early stopping, that of the best validation.
        """
        path = self._run / "model.safetensors"
        kept = self._best or self._average.module.state_dict()
        if self._group.first:
            save_weights(path, kept)
        self._group.wait()
        return path

    def _watch(self, record: Record | None) -> None:
        """Validate the running average when it is time, and keep the best."""
        settings = self._recipe.validation
        if self._validate is None or self.step % settings.every_steps:
            return
        found = self._validate(self._average.module, self._device)
        self.history.append(mean_auroc(found))
        if settings.patience and best(self.history, settings) == len(self.history) - 1:
            state = self._average.module.state_dict()
            self._best = {name: value.clone() for name, value in state.items()}
        if record:
            record.write(self.step, {"val/auroc": self.history[-1], **_named(found)})

    def _one_step(self) -> dict[str, Tensor]:
        settings = self._recipe.optimiser
        rate = learning_rate(self.step, settings.learning_rate, settings)
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        # dropout and stochastic depth draw from the global generator
        torch.manual_seed(stream(self._recipe.seed, self.step, 1 + self._group.rank))
        losses = self._losses(self._draw(self.step))
        total = torch.stack(list(losses.values())).sum()
        self._optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        self._group.sum_gradients(self._model)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), settings.clip_norm)
        self._optimiser.step()
        self._average.update_parameters(self._model)
        return {name: loss.detach() for name, loss in losses.items()}

    def _of_series(self, logits: Tensor) -> Tensor:
        """Of images as they are, of slices as their series says."""
        series = self._recipe.series
        if not series.n_slices:
            return logits
        return summed(logits, aggregation_of(series), series.slices_per_step)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted loss of each head, over the images of all processes."""
        settings, gather = self._recipe.optimiser, self._group.gather
        pixels = batch.pixels.to(self._device, memory_format=torch.channels_last)
        known = {name: t.to(self._device) for name, t in batch.targets.items()}
        known = self._taught(pixels, known)
        half = settings.precision == "bfloat16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=half):
            logits = self._forward(pixels).logits
        weight = gather(batch.weight.to(self._device))
        return {
            head.name: head.weight
            * masked_loss(
                head.head(),
                gather(self._of_series(logits[head.name].float())),
                gather(known[head.name]),
                weight,
                settings.label_smoothing,
                head.loss,
            )
            for head in self._recipe.heads
        }


def _draw(
    recipe: Recipe, store: Images | Volumes, group: Group, device: torch.device
) -> Draw | SeriesDraw:
    if isinstance(store, Volumes):
        return SeriesDraw(recipe, store, group, device)
    return Draw(recipe, store, group, device)


def _validator(
    recipe: Recipe, store: Images | Volumes, group: Group
) -> Validator | SeriesValidator:
    if isinstance(store, Volumes):
        return SeriesValidator(recipe, store, group)
    return Validator(recipe, store, group)


def _network(recipe: Recipe) -> nn.Module:
    model: Classifier = build(
        recipe.network.architecture,
        [head.head() for head in recipe.heads],
        feature_stride=recipe.network.feature_stride,
        weights=Path(recipe.network.weights) if recipe.network.weights else None,
        dropout=recipe.network.dropout,
        channels=look_of(recipe.series).channels,
    )
    return model


def _named(found: dict[str, float]) -> dict[str, float]:
    return {f"val/{name}": value for name, value in found.items()}
