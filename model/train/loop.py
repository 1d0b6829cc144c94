"""One run, from recipe to weights; with torchrun, in several processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from model.data import manifest
from model.data.dataset import Images, cache_folder
from model.data.volumes import Volumes
from model.train.checkpoint import write_atomically
from model.train.config import RecipeError
from model.train.group import Group, joined, own_device
from model.train.prepare import prepare, smoke_recipe
from model.train.series import look_of
from model.train.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from model.data.manifest import Row
    from model.train.config import Recipe


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    cache: Path | None = None,
    smoke: bool = False,
    device: str = "cpu",
) -> Path:
    """Train, or go on with, one run; returns the path of `model.safetensors`.

    data: folder of the images (with labels.csv where the recipe asks for it). run:
    folder that receives phantoms, manifest.csv, recipe.json, metrics.jsonl,
    checkpoint.pt and the weights. smoke: a few steps on a few images. Raises
    RecipeError when the batch cannot be shared by the processes.
    """
    recipe = smoke_recipe(recipe) if smoke else recipe
    torch.set_num_threads(recipe.threads)
    place = own_device(device)
    with joined(place) as group:
        if recipe.optimiser.batch % group.world:
            raise RecipeError(
                f"optimiser.batch {recipe.optimiser.batch} cannot be shared by"
                f" {group.world} processes: make it a multiple"
            )
        stores = _stores(recipe, data, run, cache_folder(cache, run), group)
        trainer = Trainer(
            recipe,
            stores["train"],
            run,
            held_out=stores.get("val"),
            group=group,
            device=place,
        )
        trainer.resume()
        trainer.go_on()
        return trainer.finish()


def _stores(
    recipe: Recipe, data: Path, run: Path, cache: Path, group: Group
) -> dict[str, Images | Volumes]:
    """What each split in use holds, decoded. One process prepares, the others read."""
    if group.first:
        run.mkdir(parents=True, exist_ok=True)
        rows = prepare(recipe, data, run)
        _write_json(run / "recipe.json", recipe.to_dict())
        opened = _open(recipe, rows, (data, run), cache)
    group.wait()
    if not group.first:
        opened = _open(recipe, manifest.read(run / "manifest.csv"), (data, run), cache)
    return opened


def _open(
    recipe: Recipe, rows: Sequence[Row], roots: Sequence[Path], cache: Path
) -> dict[str, Images | Volumes]:
    splits = ("train", "val") if recipe.validation.every_steps else ("train",)
    found = {name: [row for row in rows if row.split == name] for name in splits}
    side, used = recipe.data.side, {n: part for n, part in found.items() if part}
    if recipe.series.n_slices:
        look = look_of(recipe.series)
        return {
            name: Volumes(roots, part, side=side, cache=cache, look=look)
            for name, part in used.items()
        }
    return {
        name: Images(roots, part, side=side, cache=cache) for name, part in used.items()
    }


def _write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, default=list) + "\n"
    write_atomically(path, text.encode())
