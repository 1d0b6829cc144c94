"""Before the first step: the manifest of all sources, and the recipe of a smoke run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from model.data import images, manifest, phantoms, series_phantoms

if TYPE_CHECKING:
    from pathlib import Path

    from model.data.manifest import Row
    from model.train.config import Recipe

_TRAIN_PHANTOM_SEED, _VAL_PHANTOM_SEED = 10_000, 50_000
_SMOKE_IMAGES = 64
_SMOKE_SLICES = 8


def prepare(recipe: Recipe, data: Path, run: Path) -> list[Row]:
    """Manifest of all sources, checked for patients in two splits; also written."""
    rows: list[Row] = []
    for source in recipe.data.sources:
        rows += _source(source, recipe, data, run)
    manifest.check_split(rows)
    manifest.write(run / "manifest.csv", rows)
    return rows


def smoke_recipe(recipe: Recipe) -> Recipe:
    """The same recipe, small enough to see within seconds that all parts fit."""
    most = replace(
        recipe.data, n_phantoms=8, n_phantoms_val=4, side=64, most=_SMOKE_IMAGES
    )
    settings = replace(
        recipe.optimiser,
        steps=6,
        batch=8 * recipe.optimiser.chunks,
        warmup_steps=2,
        small_steps=min(recipe.optimiser.small_steps, 2),
        checkpoint_steps=3,
        log_steps=2,
    )
    series = recipe.series
    if series.n_slices:
        n_slices = min(series.n_slices, _SMOKE_SLICES)
        seen = min(series.slices_per_step, _SMOKE_SLICES // 2, n_slices)
        series = replace(series, n_slices=n_slices, slices_per_step=seen)
    every = 3 if recipe.validation.every_steps else 0
    watched = replace(recipe.validation, every_steps=every)
    return replace(
        recipe, data=most, optimiser=settings, validation=watched, series=series
    )


def _source(source: str, recipe: Recipe, data: Path, run: Path) -> list[Row]:
    settings = recipe.data
    if source == "images":
        found = images.rows(data)
    elif source == "phantom":
        found = _phantoms(run, settings.n_phantoms, settings.n_phantoms_val)
    elif source in series_phantoms.SOURCES:
        found = _series(source, run, settings.n_phantoms, settings.n_phantoms_val)
    elif source.endswith(".csv") and (data / source).is_file():
        found = manifest.read(data / source)
    else:
        raise manifest.ManifestError(
            f"source {source!r} is unknown: use 'images', 'phantom', 'phantom-ct',"
            " 'phantom-mr' or the path of a manifest below the data folder"
        )
    kept = [r for r in found if not settings.only or r.source in settings.only]
    if settings.most and source not in ("phantom", *series_phantoms.SOURCES):
        return kept[:: max(1, len(kept) // settings.most)]
    return kept


def _series(source: str, run: Path, n_train: int, n_val: int) -> list[Row]:
    parts = ("train", n_train, _TRAIN_PHANTOM_SEED), ("val", n_val, _VAL_PHANTOM_SEED)
    return [
        row
        for split, n, seed in parts
        for row in series_phantoms.write(run, source, n=n, first_seed=seed, split=split)
    ]


def _phantoms(run: Path, n_train: int, n_val: int) -> list[Row]:
    return phantoms.write(
        run, n=n_train, first_seed=_TRAIN_PHANTOM_SEED, split="train"
    ) + phantoms.write(run, n=n_val, first_seed=_VAL_PHANTOM_SEED, split="val")
