"""A finished run folder, opened: recipe, rows, network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from model.bundle.errors import BundleError
from model.bundle.serve import Engine
from model.bundle.weights import read_tensors
from model.data import manifest
from model.data.volumes import Look
from model.evaluate.scoring import AS_IS, EVERY_WAY, MIRRORED, Variant
from model.network import build, head_of
from model.transforms import EvalPreset

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from model.data.manifest import Row


@dataclass(frozen=True)
class Run:
    """A run folder, opened: recipe and rows as stored, the engine with its weights.

    heads: those of the recipe's heads that are kept.
    note: of `note.txt`, what happened in this run that its recipe does not say.
    """

    recipe: dict[str, Any]
    heads: list[dict[str, Any]]
    rows: tuple[Row, ...]
    engine: Engine
    roots: tuple[Path, ...]
    note: str = ""

    @property
    def of_series(self) -> bool:
        """Whether it was trained on whole series."""
        return bool(self.look.n_slices)

    @property
    def look(self) -> Look:
        """How slices are shown, and which are read; of images, one plane each."""
        stored = self.recipe.get("series") or {}
        ranges = stored.get("percentiles") or stored.get("windows") or ()
        return Look(
            windows=tuple((float(c), float(w)) for c, w in ranges),
            percentiles=bool(stored.get("percentiles")),
            depth=int(stored.get("stack_depth", 1)),
            n_slices=int(stored.get("n_slices", 0)),
            central_fraction=float(stored.get("central_fraction", 1)),
        )

    @property
    def network(self) -> dict[str, Any]:
        """What bundle.json says of the network."""
        channels = {"channels": self.look.channels} if self.of_series else {}
        return {**self.recipe["network"], **channels}

    def split(self, name: str) -> list[Row]:
        """Rows of one split."""
        return [row for row in self.rows if row.split == name]

    @property
    def made(self) -> frozenset[str]:
        """What is asked of made changes: rotation, inversion, mirror."""
        return frozenset(head["made"] for head in self.heads) - {""}

    @property
    def ways(self) -> tuple[Variant, ...]:
        """Changes of an image that the network was trained to see and judge."""
        turned = self.made & {"rotation", "inversion"}
        ways = EVERY_WAY if turned else (AS_IS,)
        return (*ways, *MIRRORED) if "mirror" in self.made else ways


def open_run(run: Path, data: Path, wanted: Collection[str] = ()) -> Run:
    """Read recipe, manifest and weights of a run folder.

    wanted: heads to keep; an auxiliary head taught the network and is not needed any
    more. None named keeps all.
    """
    for name in ("recipe.json", "manifest.csv", "model.safetensors"):
        if not (run / name).is_file():
            raise BundleError(f"{run.name} has no {name}: train it to the end first")
    recipe: dict[str, Any] = json.loads((run / "recipe.json").read_text("utf-8"))
    kept = [item for item in recipe["heads"] if not wanted or item["name"] in wanted]
    heads = [head_of(item) for item in kept]
    series = recipe.get("series") or {}
    n_windows = max(1, len(series.get("percentiles") or series.get("windows") or ()))
    network = build(
        recipe["network"]["architecture"],
        heads,
        feature_stride=recipe["network"]["feature_stride"],
        channels=n_windows * int(series.get("stack_depth", 1)),
    )
    unwanted = tuple(
        f"heads.{item['name']}." for item in recipe["heads"] if item not in kept
    )
    tensors = read_tensors(run / "model.safetensors")
    network.load_state_dict(
        {n: t for n, t in tensors.items() if not unwanted or not n.startswith(unwanted)}
    )
    network.eval()
    preset = EvalPreset.from_dict(recipe["eval_preset"])
    engine = Engine(network, preset, torch.device("cpu"))
    rows = tuple(manifest.read(run / "manifest.csv"))
    note = run / "note.txt"
    said = note.read_text("utf-8").strip() if note.is_file() else ""
    return Run(recipe, kept, rows, engine, (data, run), said)
