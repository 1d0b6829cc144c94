"""From raw files to a report: train, pack, evaluate, verify, and then the node."""

from __future__ import annotations

import csv
import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from dicomnode.cli.app import app
from dicomnode.demo import phantoms
from model.__main__ import main
from model.phantom import chest
from tests.model.conftest import RECIPES
from tests.unit.cli.test_models import NOON, text_of

RECIPE = """
name = "cxr-qc"
seed = 5
threads = 1

[[heads]]
name = "view"
classes = ["view-PA", "view-AP"]

[[heads]]
name = "rotation"
classes = ["upright", "rotated-90", "rotated-180", "rotated-270"]
made = "rotation"

[[heads]]
name = "inversion"
classes = ["inverted"]
activation = "sigmoid"
made = "inversion"

[[heads]]
name = "mirror"
classes = ["mirrored"]
activation = "sigmoid"
made = "mirror"

[data]
sources = ["images"]
side = 40
mirrored = 0.4

[balance]
"hospital/view-PA" = 1
"hospital/view-AP" = 1

[network]
architecture = "slim"
feature_stride = 16

[train_preset]
size = 32

[eval_preset]
size = 32
border = 0.06
"""
COLUMNS = ("file", "split", "source", "patient_id", "view", "task_view", "sha256")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A folder of PNG files with their table, of twelve patients."""
    folder = tmp_path_factory.mktemp("raw")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for index in range(12):
            view = "AP" if index % 2 else "PA"
            pixels = chest(800 + index, view=view, rows=72, columns=64)
            path = folder / f"{index}.png"
            Image.fromarray((pixels >> 4).astype(np.uint8)).save(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            split = "val" if index >= 8 else "train"
            table.writerow(
                [path.name, split, "hospital", f"p{index}", view, view, digest]
            )
    (folder / "recipe.toml").write_text(RECIPE, "utf-8")
    return folder


def test_raw_files_become_a_report(raw, tmp_path, monkeypatch, capsys):
    run, folder = tmp_path / "run", tmp_path / "cxr-qc"
    words = ["--config", str(raw / "recipe.toml"), "--data", str(raw)]
    assert main(["train", *words, "--out", str(run), "--smoke"]) == 0
    spec = str(RECIPES / "cxr-qc.bundle.toml")
    where = ["--run", str(run), "--data", str(raw)]
    assert main(["pack", *where, "--bundle", spec, "--out", str(folder)]) == 0
    assert main(["verify", str(folder)]) == 0
    words = ["--manifest", str(run / "manifest.csv"), "--data", str(raw)]
    out = str(tmp_path / "report")
    assert main(["evaluate", str(folder), *words, "--out", out]) == 0
    assert "as packed" in capsys.readouterr().out
    table = json.loads((folder / "bundle.json").read_text("utf-8"))
    assert table["reference"]["n_images"] == 4
    assert {entry["section"] for entry in table["evaluation"]} >= {"rotation", "mirror"}
    assert "Research use only" in (folder / "model_card.md").read_text("utf-8")
    _in_the_node(folder, tmp_path, monkeypatch)


def _in_the_node(folder, tmp_path, monkeypatch):
    """Installed and run on a DICOM file; a network of few steps says anything."""
    monkeypatch.chdir(tmp_path)
    config = '[node]\ndata_dir = "var"\n[worker]\ndevice = "cpu"\nthreads = 1\n'
    (tmp_path / "config.toml").write_text(config, "utf-8")
    order = phantoms.Order(1, "PHANTOM^TEST", "F", NOON)
    pixels = chest(800, view="PA", rows=256, columns=224)
    ds = phantoms.computed_radiograph(order, phantoms.Exposure(pixels, "PA"))
    image = tmp_path / "image.dcm"
    image.write_bytes(phantoms.encoded(ds, ExplicitVRLittleEndian))
    installed = CliRunner().invoke(app, ["model", "install", str(folder)])
    assert installed.exit_code == 0, installed.output
    tried = CliRunner().invoke(
        app, ["model", "try", "cxr-qc", str(image), "--out", "tried", "--json"]
    )
    assert tried.exit_code == 0, tried.output
    said = json.loads(tried.stdout)
    assert len(said["images"]) + len(said["not_analysed"]) == 1
    reports = [dcmread(path) for path in said["files"]]
    assert any(ds.Modality == "SR" for ds in reports)
    assert any("cxr-qc" in text_of(ds) for ds in reports)
