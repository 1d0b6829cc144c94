"""python -m model: train, pack, evaluate, verify on phantoms, and its errors."""

from __future__ import annotations

import json

from model.__main__ import main
from tests.model.conftest import RECIPES


def test_verify_and_evaluate(packed, trained, tmp_path, capsys):
    folder = str(packed[0])
    assert main(["verify", folder]) == 0
    assert "as packed" in capsys.readouterr().out
    out = tmp_path / "report"
    arguments = ["--manifest", str(trained / "manifest.csv"), "--data", str(trained)]
    assert main(["evaluate", folder, *arguments, "--out", str(out)]) == 0
    again = json.loads((out / "evaluation.json").read_text("utf-8"))
    packed_figures = {e.name: e.figure.value for e in packed[1].entries}
    assert {e["name"]: e["figure"]["value"] for e in again["entries"]} == packed_figures


def test_errors_end_with_the_remedy(tmp_path, capsys):
    assert main(["verify", str(tmp_path)]) == 1
    assert "give the bundle's folder" in capsys.readouterr().err
    spec = str(RECIPES / "cxr-qc.bundle.toml")
    assert main(["pack", "--run", str(tmp_path), "--bundle", spec, "--out", "x"]) == 1
    assert "train it to the end" in capsys.readouterr().err
    recipe = tmp_path / "r.toml"
    recipe.write_text("nme = 'x'\n", "utf-8")
    assert main(["train", "--config", str(recipe), "--out", str(tmp_path / "o")]) == 1
    assert "did you mean name?" in capsys.readouterr().err


def test_a_recipe_is_trained_from_another_seed(tmp_path, capsys):
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        """
        name = "small"
        threads = 1
        [[heads]]
        name = "view"
        classes = ["view-PA", "view-AP"]
        [data]
        sources = ["phantom"]
        n_phantoms = 4
        n_phantoms_val = 2
        side = 32
        [train_preset]
        size = 32
        [eval_preset]
        size = 32
        [optimiser]
        steps = 1
        batch = 4
        """,
        "utf-8",
    )
    seeds = {}
    for seed in ("5", "6"):
        out = tmp_path / seed
        more = ["--out", str(out), "--seed", seed]
        assert main(["train", "--config", str(recipe), *more]) == 0
        seeds[seed] = json.loads((out / "recipe.json").read_text("utf-8"))["seed"]
    assert seeds == {"5": 5, "6": 6}
    assert "model.safetensors" in capsys.readouterr().out
    first, second = (tmp_path / s / "model.safetensors" for s in seeds)
    assert first.read_bytes() != second.read_bytes()
