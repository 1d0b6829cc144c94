"""A bundle with a heavy network of random weights, for figures of speed alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from model import bundle
from model.bundle import serve
from model.bundle.write import Content, save
from model.network import build
from model.phantom import chest
from model.transforms import EvalPreset

SHIPPED = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
SIDE = 320
_N_STATISTICS = 5
_FAR = 1e9


def pack(folder: Path, architecture: str = "densenet121", side: int = SIDE) -> Path:
    """The labels of the shipped bundle on another network; says nothing of images."""
    table = json.loads((SHIPPED / "bundle.json").read_text("utf-8"))
    table["network"] |= {"architecture": architecture, "feature_stride": 16}
    table["preset"] |= {"size": side}
    table["domain"] |= {"limit": _FAR, "kinds": ["phantom/any"]}
    for head in table["heads"]:
        head["sources"] = []
    torch.manual_seed(5)
    network = build(architecture, serve.heads_of(table), feature_stride=16)
    preset = EvalPreset.from_dict(table["preset"])
    _settled(network, preset)
    image = (chest(3, view="PA", rows=160, columns=140) / 4095 * 255).astype(np.uint8)
    display = image.astype(np.float32) / np.float32(255)
    with torch.inference_mode():
        logits = network(preset(display)[None]).logits
    ordered = [float(logits[one["head"]][0, one["index"]]) for one in table["labels"]]
    size = network.width + _N_STATISTICS
    tensors = {f"model.{k}": v for k, v in network.state_dict().items()} | {
        "domain.whitening": torch.eye(size),
        "domain.means": torch.zeros(1, size),
        "test.image": torch.from_numpy(image),
        "test.logits": torch.tensor(ordered),
    }
    save(folder, Content(table, tensors, {"model_card.md": "# random weights\n"}))
    return folder


def _settled(network: nn.Module, preset: EvalPreset) -> None:
    """Normalisations as after training, so that numbers keep their size."""
    images = [
        preset((chest(n, view="PA", rows=160, columns=140) / 4095).astype(np.float32))
        for n in range(4)
    ]
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
            layer.reset_running_stats()
    network.train()
    with torch.no_grad():
        network(torch.stack(images))
    network.eval().requires_grad_(requires_grad=False)
