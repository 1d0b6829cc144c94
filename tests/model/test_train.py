"""Training: a strict recipe, a loss that skips the unknown, runs that repeat."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch

from model.data.dataset import Images
from model.network import Head
from model.train import RecipeError, load_recipe
from model.train.config import parse_recipe
from model.train.losses import masked_loss
from model.train.optimisers import learning_rate
from model.train.prepare import prepare
from model.train.trainer import Trainer
from tests.model.conftest import RECIPES, small_recipe

HEAD = Head("view", ("pa", "ap"))
MINIMAL = {
    "name": "x",
    "balance": {},
    "heads": [{"name": "view", "classes": ["pa", "ap"]}],
}


def trainer(folder, recipe, phantoms):
    shutil.copytree(phantoms, folder / "phantom", dirs_exist_ok=True)
    rows = [row for row in prepare(recipe, folder, folder) if row.split == "train"]
    store = Images((folder,), rows, side=recipe.data.side, cache=folder / "cache")
    return Trainer(recipe, store, folder)


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def test_same_recipe_twice_and_resumed_gives_the_same_bytes(tmp_path, trained):
    recipe = small_recipe()
    drawn = trained / "phantom"
    first = trainer(tmp_path / "resumed", recipe, drawn)
    first.go_on(until=4)  # stops after a checkpoint that is not the last
    second = trainer(tmp_path / "resumed", recipe, drawn)
    second.resume()
    assert second.step == 4
    second.go_on()
    second.finish()
    whole = trainer(tmp_path / "whole", recipe, drawn)
    whole.go_on()
    whole.finish()
    assert weights(tmp_path / "resumed") == weights(tmp_path / "whole")
    assert weights(trained) == weights(tmp_path / "whole")


def test_a_run_leaves_its_recipe_and_metrics(trained):
    recipe = parse_recipe(json.loads((trained / "recipe.json").read_text("utf-8")))
    assert recipe == small_recipe()
    lines = (trained / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 9))
    assert all(math.isfinite(json.loads(line)["view"]) for line in lines)
    assert not list(trained.glob("*.part"))


def test_shipped_recipes_are_valid():
    recipe = load_recipe(RECIPES / "cxr-qc.toml")
    names = [head.name for head in recipe.heads]
    assert names == ["view", "rotation", "inversion", "mirror"]
    recipe = load_recipe(RECIPES / "cxr-pneumonia-paediatric.toml")
    assert recipe.data.only == ("kermany_paed",)


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        ({"sed": 1}, "unknown key sed: did you mean seed?"),
        ({"optimiser": {"step": 1}}, "unknown key optimiser.step: did you mean steps?"),
        ({"seed": "one"}, "seed must be int"),
        ({"train_preset": {"normalise": "clahe"}}, "make them equal"),
        ({"eval_preset": {"size": 2}}, "correct the recipe"),
    ],
)
def test_recipe_errors_say_what_was_meant(table, hint):
    with pytest.raises(RecipeError, match=hint.replace("?", r"\?")):
        parse_recipe(MINIMAL | table)


def test_recipe_files_that_cannot_be_read(tmp_path):
    with pytest.raises(RecipeError, match="existing recipe"):
        load_recipe(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("a =", "utf-8")
    with pytest.raises(RecipeError, match="not TOML"):
        load_recipe(tmp_path / "bad.toml")


def test_softmax_loss_by_hand_skips_unknown_rows():
    logits = torch.tensor([[0.0, 0.0], [9.0, -9.0]])
    target = torch.tensor([[1.0, 0.0], [float("nan")] * 2])
    loss = masked_loss(HEAD, logits, target, torch.ones(2), 0.0)
    assert float(loss) == pytest.approx(math.log(2))


def test_sigmoid_loss_by_hand_with_smoothing_and_weight():
    head = Head("x", ("x",), "sigmoid")
    logits, target = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [1.0]])
    loss = masked_loss(head, logits, target, torch.tensor([1.0, 3.0]), 0.1)
    second = -0.95 * math.log(1 / (1 + math.exp(-2))) - 0.05 * math.log(
        1 - 1 / (1 + math.exp(-2))
    )
    assert float(loss) == pytest.approx((math.log(2) + 3 * second) / 4, rel=1e-5)


def test_loss_without_any_label_is_zero():
    unknown = torch.full((3, 2), float("nan"))
    assert float(masked_loss(HEAD, torch.randn(3, 2), unknown, torch.ones(3), 0.1)) == 0


def test_learning_rate_warms_up_and_ends_at_zero():
    settings = small_recipe(steps=100, warmup_steps=10).optimiser
    rates = [learning_rate(step, 1.0, settings) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_a_cosine_may_start_again_from_a_lower_rate():
    plain = small_recipe(steps=60, warmup_steps=10).optimiser
    settings = small_recipe(
        steps=100, warmup_steps=10, restart_step=60, restart_rate=0.25
    ).optimiser
    rates = [learning_rate(step, 1.0, settings) for step in range(101)]
    assert rates[:60] == [learning_rate(step, 1.0, plain) for step in range(60)]
    assert rates[60] == 0.25
    assert rates[80] == pytest.approx(0.125)
    assert rates[100] == pytest.approx(0, abs=1e-12)


def test_every_key_of_a_recipe_is_documented():
    from dataclasses import fields

    from model.train import config
    from model.transforms import EvalPreset, TrainPreset

    page = (RECIPES.parents[1] / "docs" / "models.md").read_text("utf-8")
    section = page[page.index("### Every key") : page.index("## Pack")]
    tables = [config.HeadRecipe, config.DataRecipe, config.NetworkRecipe]
    tables += [TrainPreset, EvalPreset, config.Optimiser, config.Validation]
    tables += [config.Distil]
    names = {f.name for table in tables for f in fields(table)}
    names |= {"name", "seed", "threads", "heads", "balance"}
    assert [name for name in sorted(names) if f"`{name}`" not in section] == []
    from model.network import ARCHITECTURES
    from model.train.losses import LOSSES

    assert [
        name
        for name in (*ARCHITECTURES, *LOSSES, "hierarchical")
        if name not in section
    ] == []
