"""A second training source without patients: phantom radiographs as PNG files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.data.manifest import Row
from model.phantom import View, chest

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "phantom"
_ROWS, _COLUMNS = 512, 448


def write(folder: Path, *, n: int, first_seed: int, split: str) -> list[Row]:
    """Write n phantoms, PA and AP in turn, below folder/phantom; return their rows.

    A phantom that is there already is not drawn again.
    """
    (folder / SOURCE).mkdir(parents=True, exist_ok=True)
    return [_write_one(folder, first_seed + i, split) for i in range(n)]


def _write_one(folder: Path, seed: int, split: str) -> Row:
    view: View = "PA" if seed % 2 == 0 else "AP"
    relative = f"{SOURCE}/{view.lower()}-{seed:06d}.png"
    path = folder / relative
    if not path.exists():
        pixels = chest(seed, view=view, rows=_ROWS, columns=_COLUMNS)
        eight_bit = np.rint(pixels / 4095 * 255).astype(np.uint8)
        Image.fromarray(eight_bit).save(path, optimize=False)
    return Row(
        path=relative,
        patient=f"{SOURCE}-{seed}",
        study=f"{SOURCE}-{seed}",
        view=view,
        labels={"view-PA": float(view == "PA"), "view-AP": float(view == "AP")},
        split=split,
        source=SOURCE,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )
