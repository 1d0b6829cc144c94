"""A task any network learns: do the stripes run across or down? In real files."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

from model.data.dataset import Images
from model.data.manifest import Row
from model.train.config import parse_recipe

SIDE = 32
STILL = dict.fromkeys(
    (
        "degrees",
        "scale",
        "shift",
        "aspect",
        "gamma",
        "window",
        "equalise",
        "markers",
        "collimation",
        "noise",
        "jpeg",
        "resolution",
        "blank",
    ),
    0.0,
)


def stripes(folder, n, split, first=0, kinds=2):
    """n images of noisy stripes, each with its own start; classes in turn. A third
    kind has no stripes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_one(folder, first + i, split, kinds) for i in range(n)]


def _one(folder, seed, split, kinds):
    random = np.random.default_rng(seed)
    down, across, plain = (seed % kinds == kind for kind in (1, 0, 2))
    wave = np.sin(2 * np.pi * (np.arange(SIDE) / 8 + random.random() / 4))
    plane = np.tile(wave, (SIDE, 1)) if down else np.tile(wave[:, None], SIDE)
    grey = 128 + 50 * plane * (not plain) + random.normal(0, 15, plane.shape)
    name = f"{split}-{seed}.png"
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / name)
    return Row(
        path=name,
        patient=f"{split}-{seed}",
        study=name,
        view="",
        labels={
            "down": float(down),
            "across": float(across),
            "striped": float(not plain),
        },
        split=split,
        source="stripes",
        sha256=hashlib.sha256((folder / name).read_bytes()).hexdigest(),
    )


def stores(folder, n_train=64, n_val=32, kinds=2):
    """Decoded training and validation images."""
    train = stripes(folder, n_train, "train", kinds=kinds)
    held_out = stripes(folder, n_val, "val", first=1000, kinds=kinds)
    return tuple(
        Images((folder,), rows, side=SIDE, cache=folder / "cache")
        for rows in (train, held_out)
    )


def recipe(
    *, head=None, network=None, validation=None, data=None, distil=None, **optimiser
):
    """A recipe for the stripes: nothing is varied but what a test asks for."""
    softmax = {"name": "stripes", "classes": ["down", "across"]}
    return parse_recipe(
        {
            "name": "stripes",
            "threads": 1,
            "seed": 3,
            "heads": [softmax | (head or {})],
            "data": {"side": SIDE, "turned": 0.0, "inverted": 0.0} | (data or {}),
            "network": network or {},
            "train_preset": STILL | {"size": SIDE, "noise": 0.02},
            "eval_preset": {"size": SIDE},
            "validation": validation or {},
            "distil": distil or {},
            "optimiser": {
                "steps": 40,
                "batch": 16,
                "learning_rate": 3e-3,
                "warmup_steps": 3,
                "schedule": "constant",
                "ema": 0.6,
                "label_smoothing": 0.0,
                "log_steps": 1,
                "checkpoint_steps": 1000,
            }
            | optimiser,
        }
    )
