"""Atomic files of a run: checkpoint to resume from, weights to keep."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save as to_safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, sync, rename, sync the folder: whole or not at all."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Everything a run needs to go on bit by bit."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Tensors and plain values only (`weights_only`): nothing in it is executed."""
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    return state


def save_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Weights as safetensors, contiguous, in sorted order."""
    ordered = {name: state[name].detach().cpu().contiguous() for name in sorted(state)}
    write_atomically(path, to_safetensors(ordered))
