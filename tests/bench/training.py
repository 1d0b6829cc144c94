"""How long the shipped bundles train on this machine: steps of their own recipes.

Goal: the default bundle (cxr-qc) within 15 minutes on two cores. The images are drawn
at random, as many of each stratum as a batch takes: what they show does not matter for
the time, and decoding, which happens once, is not counted.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

import model
from model.data.manifest import Row
from model.train import Recipe, load_recipe
from model.train.trainer import Trainer

RECIPES = Path(model.__file__).parent / "recipes"
GOAL_MINUTES = 15.0
_EACH = 24


class Noise:
    """Decoded images of every stratum of a recipe, as the trainer asks for them."""

    def __init__(self, recipe: Recipe) -> None:
        self.rows = [
            _row(stratum, i) for stratum in recipe.balance for i in range(_EACH)
        ]
        shape = (len(self.rows), recipe.data.side, recipe.data.side)
        self._pixels = torch.randint(0, 256, shape, dtype=torch.uint8)

    def batch(self, indices: list[int]) -> torch.Tensor:
        """uint8 (len(indices), side, side)."""
        return self._pixels[torch.tensor(indices)]

    def move(self, device: torch.device) -> None:
        """Nothing to do on the CPU."""


def measure(repeat: int) -> dict[str, object]:
    """Images per second at each size, and the minutes of all steps."""
    found: dict[str, object] = {"goal, cxr-qc": f"{GOAL_MINUTES:g} minutes, two cores"}
    for name in ("cxr-qc", "cxr-pneumonia-paediatric"):
        recipe = load_recipe(RECIPES / f"{name}.toml")
        found |= {f"{name}: {key}": said for key, said in _of(recipe, repeat).items()}
    return found


def _of(recipe: Recipe, repeat: int) -> dict[str, str]:
    settings = recipe.optimiser
    torch.set_num_threads(recipe.threads)
    small = min(settings.small_steps, settings.steps)
    parts = {recipe.train_preset.size: settings.steps - small}
    if small:
        parts[settings.small_size] = small
    found, minutes = {"threads": str(recipe.threads)}, 0.0
    for size, n_steps in parts.items():
        seconds = _step(recipe, size, repeat)
        minutes += n_steps * seconds / 60
        rate = f"{settings.batch / seconds:.0f} images/s"
        found[f"{size} pixels"] = f"{rate}, {n_steps} steps of {settings.batch}"
    return {**found, "all steps": f"{minutes:.1f} minutes"}


def _step(recipe: Recipe, size: int, repeat: int) -> float:
    """Median seconds of a step after the first."""
    preset = replace(recipe.train_preset, size=size)
    settings = replace(
        recipe.optimiser, small_steps=0, log_steps=1, checkpoint_steps=10**6
    )
    one = replace(recipe, train_preset=preset, optimiser=settings)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(one, Noise(one), Path(folder))  # type: ignore[arg-type]
        trainer.go_on(until=repeat + 1)
        lines = (Path(folder) / "metrics.jsonl").read_text("utf-8").splitlines()
    return float(statistics.median(json.loads(line)["seconds"] for line in lines[1:]))


def _row(stratum: str, number: int) -> Row:
    source, _, label = stratum.partition("/")
    others = {"view-PA", "view-AP"} if label.startswith("view") else set()
    others |= {"normal", "bacterial", "viral"} if source == "kermany_paed" else set()
    labels = dict.fromkeys(others, 0.0) | ({label: 1.0} if label else {})
    if source == "kermany_paed":
        labels["pneumonia"] = float(label != "normal")
    return Row(
        path=f"{stratum}/{number}",
        patient=f"{stratum}/{number}",
        study="",
        view="",
        labels=labels,
        split="train",
        source=source,
        sha256="",
    )
