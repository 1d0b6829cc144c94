"""Runs: killed ones resume to the same bytes, two processes equal one, early stopping,
what a run records, and what a draw is a function of.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import model
from model.data.dataset import Images
from model.data.manifest import ManifestError, write
from model.network import Classifier, Head
from model.train import RecipeError, train
from model.train.config import Validation, parse_recipe
from model.train.draw import Draw
from model.train.group import Group, SyncedNorm, own_device
from model.train.prepare import prepare
from model.train.trainer import Trainer
from model.train.validation import Validator, best, is_over, smoothed
from tests.model.stripes import SIDE, recipe, stores, stripes

WATCHED = {"every_steps": 2, "patience": 2, "min_delta": 0.5, "smooth": 2}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return stores(tmp_path_factory.mktemp("stripes"), 32, 16)


def trainer(wanted, images, run):
    run.mkdir(exist_ok=True)
    return Trainer(wanted, images[0], run, held_out=images[1])


def finished(at_work):
    at_work.go_on()
    return at_work.finish().read_bytes()


@pytest.mark.parametrize(
    "wanted",
    [
        recipe(steps=9, checkpoint_steps=4, network={"dropout": 0.4}, mixup=0.3),
        recipe(steps=9, checkpoint_steps=4, name="sgd", nesterov=True),
        recipe(steps=30, checkpoint_steps=4, validation=WATCHED),
    ],
    ids=["dropout and mixup", "momentum", "early stopping"],
)
def test_a_killed_run_resumes_to_the_same_bytes(wanted, images, tmp_path):
    """Killed after step 5, one step after its checkpoint."""
    killed = trainer(wanted, images, tmp_path / "killed")
    killed.save = lambda: Trainer.save(killed) if killed.step == 4 else None
    killed.go_on(until=5)
    again = trainer(wanted, images, tmp_path / "killed")
    again.resume()
    assert again.step == 4
    whole = trainer(wanted, images, tmp_path / "whole")
    assert finished(again) == finished(whole)
    assert again.history == whole.history
    lines = {
        name: [
            {key: v for key, v in json.loads(line).items() if key != "seconds"}
            for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        ]
        for name in ("killed", "whole")
    }
    assert lines["killed"] == lines["whole"]


def test_training_stops_when_validation_no_longer_rises(images, tmp_path):
    wanted = recipe(steps=30, validation=WATCHED)
    at_work = trainer(wanted, images, tmp_path)
    kept = finished(at_work)
    assert at_work.step == 6  # validated at 2, 4 and 6, none 0.5 above the first
    assert len(at_work.history) == 3
    at_work.go_on()
    assert at_work.step == 6
    shorter = recipe(steps=2, validation=WATCHED)
    (tmp_path / "short").mkdir()
    assert kept == finished(trainer(shorter, images, tmp_path / "short"))
    lines = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    watched = [json.loads(line) for line in lines if "val/auroc" in line]
    assert [line["step"] for line in watched] == [2, 4, 6]
    assert all("val/stripes/down" in line for line in watched)


def test_the_decision_to_stop_by_hand():
    settings = Validation(every_steps=1, patience=2, min_delta=0.01, smooth=2)
    rising = [0.5, 0.7, 0.8, 0.801, 0.802]
    assert smoothed(rising, 2) == pytest.approx([0.5, 0.6, 0.75, 0.8005, 0.8015])
    assert best(rising, settings) == 3
    assert not is_over(rising, settings)
    assert is_over([*rising, 0.803], settings)
    assert not is_over([*rising, 0.803], replace(settings, patience=0))
    assert not is_over([], settings)
    one_dip = [0.7, 0.5, 0.9, 0.9]  # smoothing forgives it
    assert best(one_dip, settings) == 3


def test_validation_asks_made_questions_of_changed_images(images):
    heads = [
        {"name": "turn", "classes": list("0123"), "made": "rotation"},
        {"name": "inv", "classes": ["y"], "activation": "sigmoid", "made": "inversion"},
        {"name": "mir", "classes": ["y"], "activation": "sigmoid", "made": "mirror"},
    ]
    wanted = recipe()
    wanted = replace(wanted, heads=parse_recipe({"name": "x", "heads": heads}).heads)

    class Oracle(torch.nn.Module):
        """Says what was done, from the order that the images come in."""

        def forward(self, pixels):
            place = torch.arange(len(pixels))
            upright = (place % 4 == 0).float()
            mirrored = (place // 8 % 2).float() * upright
            logits = {
                "turn": torch.eye(4)[place % 4],
                "inv": (place // 4 % 2).float()[:, None],
                "mir": mirrored[:, None],
            }
            return type("Output", (), {"logits": logits})

    found = Validator(wanted, images[1], Group())(Oracle(), torch.device("cpu"))
    assert set(found) == {f"turn/{i}" for i in range(4)} | {"inv/y", "mir/y"}
    assert set(found.values()) == {1.0}


def test_two_processes_equal_one_after_ten_steps(tmp_path):
    """Started by torchrun, as a user would; 16 images, 11 of them to validate, which
    two processes cannot share evenly.
    """
    rows = stripes(tmp_path, 16, "train") + stripes(tmp_path, 11, "val", first=1000)
    write(tmp_path / "rows.csv", rows)
    text = RECIPE.format(side=SIDE)
    (tmp_path / "recipe.toml").write_text(text, "utf-8")
    from model.train import load_recipe

    wanted = load_recipe(tmp_path / "recipe.toml")
    alone = tmp_path / "alone"
    train(wanted, tmp_path, alone)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node=2", "-m", "model", "train"]
    command += ["--config", "recipe.toml", "--data", ".", "--out", "pair"]
    root = str(Path(model.__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    one, two = (
        load_file(run / "model.safetensors") for run in (alone, tmp_path / "pair")
    )
    assert one.keys() == two.keys()
    apart = {
        name: float((value.double() - two[name].double()).abs().max())
        for name, value in one.items()
    }
    assert max(apart.values()) < 1e-5, max(apart, key=apart.get)
    lines = [
        [json.loads(x) for x in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (alone, tmp_path / "pair")
    ]
    for first, second in zip(*lines, strict=True):
        assert first.keys() == second.keys()
        for key in first.keys() - {"seconds"}:
            assert second[key] == pytest.approx(first[key], abs=1e-5), key


RECIPE = """
name = "stripes"
threads = 1
[[heads]]
name = "stripes"
classes = ["down", "across"]
[[heads]]
name = "down"
classes = ["down"]
activation = "sigmoid"
loss = "auc_margin"
[[heads]]
name = "rotation"
classes = ["0", "1", "2", "3"]
made = "rotation"
[data]
sources = ["rows.csv"]
side = {side}
[train_preset]
size = {side}
[eval_preset]
size = {side}
[validation]
every_steps = 5
[optimiser]
steps = 10
batch = 8
chunks = 2
log_steps = 1
"""


def test_parts_of_a_batch_make_up_the_whole(images):
    for chunks in (1, 2, 4):
        wanted = recipe(batch=8, chunks=chunks)
        whole = Draw(wanted, images[0])(3)
        parts = [Draw(wanted, images[0], Group(rank, 2))(3) for rank in (0, 1)]
        assert [len(part.pixels) for part in parts] == [4, 4]
        joined = torch.cat([part.pixels for part in parts])
        order = joined.sum((1, 2, 3)).argsort()
        expected = whole.pixels.sum((1, 2, 3)).argsort()
        assert torch.equal(joined[order], whole.pixels[expected])


def test_synchronised_norm_is_the_usual_one_when_it_serves():
    usual, ours = torch.nn.BatchNorm2d(3), SyncedNorm(3)
    x = torch.randn(4, 3, 5, 5)
    usual(x)
    ours.load_state_dict(usual.state_dict())
    assert torch.equal(usual.eval()(x), ours.eval()(x))


def test_a_batch_that_processes_cannot_share(images, tmp_path, monkeypatch):
    from contextlib import contextmanager

    @contextmanager
    def three(_):
        yield Group(0, 3)

    monkeypatch.setattr("model.train.loop.joined", three)
    with pytest.raises(RecipeError, match="make it a multiple"):
        train(recipe(batch=16), tmp_path, tmp_path / "run")


def test_mixup_mixes_pixels_and_targets_alike(images):
    plain = Draw(recipe(batch=8), images[0])(5)
    mixed = Draw(recipe(batch=8, mixup=1.0), images[0])(5)
    known, soft = plain.targets["stripes"], mixed.targets["stripes"]
    assert torch.allclose(soft.sum(1), torch.ones(8))
    assert ((soft > 0) & (soft < 1)).any()
    for i in range(8):
        # some other image j and share explain both the pixels and the target
        errors = []
        for j in range(8):
            gap = (plain.pixels[i] - plain.pixels[j]).flatten()
            if i == j or not gap.any():
                continue
            share = (mixed.pixels[i] - plain.pixels[j]).flatten() @ gap / (gap @ gap)
            target = share * known[i] + (1 - share) * known[j]
            pixels = share * plain.pixels[i] + (1 - share) * plain.pixels[j]
            errors.append(
                float((pixels - mixed.pixels[i]).abs().max())
                + float((target - soft[i]).abs().max())
            )
        itself = float((mixed.pixels[i] - plain.pixels[i]).abs().max())
        assert min([*errors, itself]) < 1e-4
    assert torch.equal(mixed.pixels, Draw(recipe(batch=8, mixup=1.0), images[0])(5)[0])


def test_first_steps_may_use_smaller_images(images):
    draw = Draw(recipe(batch=4, small_steps=2, small_size=24), images[0])
    assert [draw(step).pixels.shape[-1] for step in (0, 1, 2)] == [24, 24, SIDE]


def test_the_mirror_is_asked_of_upright_images(images):
    data = {"turned": 0.5, "mirrored": 0.5}
    head = {"name": "mirror", "classes": ["m"], "activation": "sigmoid"}
    draw = Draw(recipe(batch=32, data=data, head=head | {"made": "mirror"}), images[0])
    both = recipe(batch=32, data=data)
    turn = {"name": "turn", "classes": list("0123"), "made": "rotation"}
    heads = parse_recipe({"name": "x", "heads": [turn]}).heads
    turns = Draw(replace(both, heads=heads), images[0])
    mirrored = torch.cat([draw(step).targets["mirror"][:, 0] for step in range(4)])
    upright = torch.cat([turns(step).targets["turn"][:, 0] for step in range(4)])
    assert not mirrored[upright == 0].any()
    assert 0.2 < mirrored[upright == 1].mean() < 0.8


def test_dropout_is_of_training_only():
    net = Classifier(torch.nn.Identity(), 64, [Head("x", ("a", "b"))], dropout=0.5)
    image = torch.ones(1, 64, 2, 2)
    first, second = (net(image).logits["x"] for _ in range(2))
    assert not torch.equal(first, second)
    net.eval()
    assert torch.equal(net(image).logits["x"], net(image).logits["x"])


def test_manifests_are_a_source_and_policies_reach_the_targets(tmp_path):
    first, second, third, *_ = stripes(tmp_path, 4, "train")
    doubtful = replace(first, labels={"across": 0.0}, uncertain=frozenset({"down"}))
    silent = replace(second, labels={"across": 0.0}, blank=frozenset({"down"}))
    write(tmp_path / "rows.csv", [doubtful, silent, replace(third, source="other")])
    head = {"classes": ["down"], "activation": "sigmoid"}
    data = {
        "sources": ["rows.csv"],
        "only": ["stripes"],
        "uncertain": {"down": "soft(0.5,0.7)"},
        "blank": {"default": "negative"},
    }
    wanted = recipe(head=head, data=data, batch=2)
    rows = prepare(wanted, tmp_path, tmp_path)
    assert [row.source for row in rows] == ["stripes", "stripes"]
    store = Images((tmp_path,), rows, side=SIDE, cache=tmp_path / "cache")
    target = sorted(Draw(wanted, store)(0).targets["stripes"][:, 0].tolist())
    assert target[0] == 0
    assert 0.5 <= target[1] < 0.7
    with pytest.raises(ManifestError, match="below the data folder"):
        prepare(recipe(data={"sources": ["x.csv"]}), tmp_path, tmp_path)


def test_local_weights_are_where_training_starts(images, tmp_path):
    import torchvision
    from safetensors.torch import save_file

    reference = torchvision.models.mobilenet_v3_small(weights=None)
    save_file(reference.state_dict(), tmp_path / "local.safetensors")
    wanted = recipe(
        steps=0,
        network={
            "architecture": "mobilenet_v3_small",
            "weights": str(tmp_path / "local.safetensors"),
        },
    )
    at_work = trainer(wanted, images, tmp_path)
    ours = at_work._model.trunk.state_dict()["0.0.weight"]
    assert torch.equal(ours, reference.features[0][0].weight.sum(1, keepdim=True))


@pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="extra train"
)
def test_tensorboard_holds_what_metrics_jsonl_holds(images, tmp_path):
    finished(trainer(recipe(steps=2), images, tmp_path))
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_each_process_has_its_own_device(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "3")
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert own_device("cpu") == torch.device("cpu")
    assert own_device("cuda:1") == torch.device("cuda:1")
    assert not chosen
    assert own_device("cuda") == torch.device("cuda:3")
    assert chosen == [torch.device("cuda:3")]
