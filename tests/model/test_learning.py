"""Every loss, optimiser and backbone learns stripes to AUROC > 0.99 on images it never
saw, within a few steps.
"""

from __future__ import annotations

import json

import pytest
import torch

from model.data.manifest import ManifestError
from model.network import ARCHITECTURES, STRIDES
from model.train.group import Group
from model.train.losses import LOSSES
from model.train.trainer import Trainer
from model.train.validation import Validator, mean_auroc
from tests.model.stripes import recipe, stores

SIGMOID = {"classes": ["down"], "activation": "sigmoid"}
OF_SOFTMAX = ("cross_entropy", "softmax_focal", "softmax_squared")
RATES = {"vit_b_16": 2e-4, "swin_v2_t": 3e-4, "convnext_tiny": 1e-3}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return stores(tmp_path_factory.mktemp("stripes"))


def learned(wanted, images, run, *, every=3):
    """Best validation AUROC within the recipe's steps; stops as soon as it will do.

    Running statistics that need hundreds of steps to settle are made to follow faster.
    """
    train, held_out = images
    trainer = Trainer(wanted, train, run)
    for module in trainer._model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.3
    judge = Validator(wanted, held_out, Group())
    reached = 0.0
    while trainer.step < wanted.optimiser.steps and reached <= 0.99:
        for _ in range(every):
            trainer._one_step()
            trainer.step += 1
        found = judge(trainer._average.module, torch.device("cpu"))
        reached = max(reached, mean_auroc(found))
    return reached


@pytest.mark.parametrize("loss", [*LOSSES, "auc_margin"])
def test_every_loss_learns(loss, images, tmp_path):
    head = {"loss": loss} if loss in OF_SOFTMAX else SIGMOID | {"loss": loss}
    assert learned(recipe(head=head), images, tmp_path) > 0.99


def test_the_hierarchical_loss_learns_kinds_of_a_kind(tmp_path):
    three = stores(tmp_path / "images", n_train=96, n_val=48, kinds=3)
    head = {
        "classes": ["striped", "down", "across"],
        "activation": "sigmoid",
        "loss": "hierarchical",
        "parents": {"down": "striped", "across": "striped"},
    }
    assert learned(recipe(head=head), three, tmp_path) > 0.99


def test_a_network_learns_from_finished_ones_what_no_label_says(images, tmp_path):
    teacher = recipe(steps=24)
    train(teacher, images, tmp_path / "teacher")
    wrong = {"shuffled": True}  # the labels say nothing
    distil = {"teachers": [str(tmp_path / "teacher")], "share": 1.0}
    assert learned(recipe(data=wrong, distil=distil), images, tmp_path) > 0.99
    elsewhere = recipe(head={"name": "other"}, distil=distil)
    with pytest.raises(ManifestError, match="same heads"):
        Trainer(elsewhere, images[0], tmp_path / "other")


def train(wanted, images, run):
    """A run folder, as `train` leaves it."""
    run.mkdir()
    trainer = Trainer(wanted, images[0], run)
    trainer.go_on()
    trainer.finish()
    (run / "recipe.json").write_text(json.dumps(wanted.to_dict()), "utf-8")


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "sgd", "momentum": 0.0, "learning_rate": 0.3},
        {"name": "sgd", "learning_rate": 0.05},
        {"name": "sgd", "nesterov": True, "learning_rate": 0.05},
        {"name": "adam"},
        {"name": "adamw", "schedule": "cosine", "clip_norm": 0.5},
        {"name": "adamw", "mixup": 0.2, "label_smoothing": 0.1},
        {"name": "adamw", "precision": "bfloat16", "batch": 8},
    ],
)
def test_every_optimiser_learns(settings, images, tmp_path):
    wanted = recipe(network={"dropout": 0.2}, **settings)
    assert learned(wanted, images, tmp_path) > 0.99


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_backbone_learns(architecture, images, tmp_path):
    wanted = recipe(
        network={
            "architecture": architecture,
            "feature_stride": STRIDES[architecture][0],
        },
        batch=8,
        learning_rate=RATES.get(architecture, 2e-3),
        warmup_steps=1,
        ema=0.3,
        steps=60,
    )
    assert learned(wanted, images, tmp_path) > 0.99
