"""Finished networks whose answers a new one learns from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

from model.data.manifest import ManifestError
from model.network import build

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from model.network import Classifier
    from model.train.config import Distil, HeadRecipe


class Teachers:
    """Several networks as one: the mean of their logits."""

    def __init__(
        self, settings: Distil, heads: Sequence[HeadRecipe], device: torch.device
    ) -> None:
        self._share = settings.share
        self._heads = [head.head() for head in heads]
        self._networks = [self._open(Path(run), device) for run in settings.teachers]

    @torch.no_grad()
    def __call__(self, pixels: Tensor, targets: dict[str, Tensor]) -> dict[str, Tensor]:
        """Targets (batch, classes) of each head, mixed with what the teachers say of
        the same pixels; unknown ones (NaN) stay unknown.
        """
        if not self._networks:
            return targets
        answers = [network(pixels).logits for network in self._networks]
        found = {}
        for head in self._heads:
            logits = torch.stack([one[head.name].float() for one in answers]).mean(0)
            theirs = head.probabilities(logits)
            found[head.name] = torch.lerp(targets[head.name], theirs, self._share)
        return found

    def _open(self, run: Path, device: torch.device) -> Classifier:
        for name in ("recipe.json", "model.safetensors"):
            if not (run / name).is_file():
                raise ManifestError(f"teacher {run} has no {name}: train it first")
        network = json.loads((run / "recipe.json").read_text("utf-8"))["network"]
        model = build(
            network["architecture"],
            self._heads,
            feature_stride=network["feature_stride"],
        )
        try:
            model.load_state_dict(load_file(run / "model.safetensors"))
        except RuntimeError as error:
            raise ManifestError(
                f"teacher {run} answers other questions: give runs with the same heads"
            ) from error
        model.eval().requires_grad_(requires_grad=False)
        return model.to(device).to(memory_format=torch.channels_last)
