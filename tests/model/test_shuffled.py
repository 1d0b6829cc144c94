"""Label randomisation: what maps are worth beside those of a network that was trained
on shuffled labels. The pictures have one bright spot, which is the answer.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from model import explain
from model.__main__ import main
from model.bundle import BundleError
from model.data.dataset import Images
from model.data.manifest import Row
from model.evaluate import pack, saliency
from model.explain import Target
from model.train import train
from model.train.draw import Draw
from model.train.trainer import Trainer
from tests.model.conftest import RECIPES, small_recipe
from tests.model.stripes import SIDE, recipe

SPOT = 8
HEAD = {"name": "spot", "classes": ["spot"], "activation": "sigmoid"}


def spots(folder, n, split):
    """Noise with or without a bright spot, in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    random = np.random.default_rng(1 if split == "train" else 2)
    for i in range(n):
        grey = random.normal(110, 12, (SIDE, SIDE))
        y, x = random.integers(2, SIDE - SPOT - 2, 2)
        if i % 2:
            grey[y : y + SPOT, x : x + SPOT] += 90
        name = f"{split}-{i}.png"
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / name)
        labels = {"spot": float(i % 2)}
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        site = f"site-{i // 2 % 2}"
        rows.append(Row(name, name, name, "", labels, split, site, digest))
    return rows


def spot_recipe(*, shuffled):
    made = recipe(head=HEAD, data={"shuffled": shuffled}, network={}, steps=40)
    return replace(
        made, heads=(replace(made.heads[0], **HEAD | {"classes": ("spot",)}),)
    )


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Networks of right and of shuffled labels, and pictures that neither has seen."""
    folder = tmp_path_factory.mktemp("spots")
    rows = spots(folder, 64, "train")
    store = Images((folder,), rows, side=SIDE, cache=folder / "cache")
    networks = {}
    for shuffled in (False, True):
        trainer = Trainer(spot_recipe(shuffled=shuffled), store, folder / f"{shuffled}")
        for module in trainer._model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 0.3
        for _ in range(40):
            trainer._one_step()
            trainer.step += 1
        networks[shuffled] = trainer._average.module.eval()
    held_out = spots(folder, 24, "val")
    preset = spot_recipe(shuffled=False).eval_preset
    images = [
        preset(np.asarray(Image.open(folder / row.path), np.float32) / 255)[None]
        for row in held_out
    ]
    return networks, images


def covered(network, image, target):
    return explain.occlusion(network, image, target, window=SPOT, stride=4)


def test_shuffled_labels_teach_nothing_of_the_question(shown):
    """The right ones do: spots that it never saw lie far from pictures without one."""
    networks, images = shown
    target = Target(networks[False].layout[0], 0)
    apart = {}
    for shuffled, network in networks.items():
        with torch.inference_mode():
            logits = target(network, torch.cat(images))
        apart[shuffled] = abs(float(logits[1::2].mean() - logits[::2].mean()))
    assert apart[False] > 1
    assert apart[True] < 0.5 * apart[False]


def test_the_map_of_shuffled_labels_is_not_like_the_map(shown):
    networks, images = shown
    target = Target(networks[False].layout[0], 0)
    steps = [
        saliency.likeness(networks[False], networks[True], image, target, covered)
        for image in images[1:12:2]
    ]
    assert steps[0].randomised == "labels"
    assert abs(np.mean([step.spearman for step in steps])) < 0.5
    same = saliency.likeness(
        networks[False], networks[False], images[1], target, covered
    )
    assert same.spearman == pytest.approx(1)
    edges = saliency.likeness(
        networks[False], networks[True], images[1], target, lambda _n, x, _t: x[0].abs()
    )
    assert edges.spearman == pytest.approx(1)  # such a map shows the image


def test_answers_are_of_other_images_of_the_same_source_at_every_step(tmp_path):
    rows = spots(tmp_path, 64, "train")
    store = Images((tmp_path,), rows, side=SIDE, cache=tmp_path / "cache")
    right = Draw(spot_recipe(shuffled=False), store)._targets["spot"][:, 0]
    wrong = Draw(spot_recipe(shuffled=True), store)._targets["spot"][:, 0]
    again = Draw(spot_recipe(shuffled=True), store)._targets["spot"][:, 0]
    assert torch.equal(wrong, again)
    assert 0.25 < float((right == wrong).float().mean()) < 0.75
    for source in ("site-0", "site-1"):
        here = torch.tensor([row.source == source for row in rows])
        assert wrong[here].sum() == right[here].sum()


def test_the_verbs_train_compare_and_never_pack(packed, tmp_path, capsys):
    run = tmp_path / "shuffled"
    wrong = small_recipe(steps=2)
    train(replace(wrong, data=replace(wrong.data, shuffled=True)), tmp_path, run)
    with pytest.raises(BundleError, match="without --shuffle-labels"):
        pack(run, run, RECIPES / "cxr-qc.bundle.toml", tmp_path / "no", draws=2)
    picture = tmp_path / "x.png"
    Image.fromarray(np.tile(np.arange(40, dtype=np.uint8) * 5, (40, 1))).save(picture)
    told = ["explain", str(packed[0]), str(picture), "--out", str(tmp_path / "maps")]
    told += ["--label", "inverted", "--method", "cam", "--shuffled"]
    assert main([*told, str(run)]) == 0
    [fact] = json.loads((tmp_path / "maps" / "explain.json").read_text("utf-8"))["maps"]
    likeness = fact["likeness to the map of shuffled labels"]
    assert set(likeness) == {"spearman", "ssim"}
    assert abs(likeness["spearman"]) <= 1


def test_a_run_of_right_labels_is_no_comparison(packed, trained, tmp_path, capsys):
    picture = tmp_path / "x.png"
    Image.fromarray(np.zeros((40, 40), np.uint8)).save(picture)
    told = ["explain", str(packed[0]), str(picture), "--out", str(tmp_path / "maps")]
    assert main([*told, "--shuffled", str(trained)]) == 1
    assert "--shuffle-labels" in capsys.readouterr().err
