"""The MR recipe from a folder of series to the slices that a report names."""

from __future__ import annotations

import csv
import json

import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from dicomnode.cli.app import app
from model.__main__ import main
from model.data import manifest
from model.data.series_phantoms import mr_dataset
from model.phantom_mr import mr_scan
from tests.model.conftest import RECIPES
from tests.series.test_series_pipeline import images_of_groups, texts

RECIPE = RECIPES / "mr-lesion-phantom.toml"
SPEC = RECIPES / "mr-lesion-phantom.bundle.toml"
HEADS, LESION = 100, "lesion"


def write_head(folder, seed, lesion):
    """T1, FLAIR and a localizer of one head; the UID of the FLAIR, and its sphere."""
    folder.mkdir(parents=True)
    for series, weighting in ((2, "T1"), (3, "FLAIR")):
        found = mr_scan(seed, lesion=lesion, weighting=weighting)
        ds = mr_dataset(found, seed, series)
        ds.save_as(folder / f"{series}.dcm", enforce_file_format=True)
    uid, ds.SeriesInstanceUID = ds.SeriesInstanceUID, f"{ds.StudyInstanceUID}.1"
    ds.ImageType, ds.SOPInstanceUID = ["ORIGINAL", "PRIMARY", "LOCALIZER"], f"{uid}.9"
    ds.save_as(folder / "1.dcm", enforce_file_format=True)
    return uid, found.sphere


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Heads as a PACS exports them, the labelled FLAIR of each in a manifest."""
    root = tmp_path_factory.mktemp("export")
    with (root / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["SeriesInstanceUID", LESION])
        for seed in range(HEADS):
            uid, _ = write_head(root / "dicom" / str(seed), seed, seed % 2 == 1)
            table.writerow([uid, seed % 2])
    words = ["--root", str(root / "dicom"), "--table", str(root / "labels.csv")]
    words += ["--base", str(root), "--out", str(root / "mr.csv")]
    words += ["--source", "phantom-mr", "--split", "hash", "--val", "0.5"]
    assert main(["prepare", "series", *words, "--test", "0"]) == 0
    return root


@pytest.fixture(scope="module")
def packed(export, tmp_path_factory):
    """The recipe as it ships, of the manifest instead of its own source."""
    root = tmp_path_factory.mktemp("packed")
    recipe, run, folder = root / "recipe.toml", root / "run", root / "mr-lesion-phantom"
    text = RECIPE.read_text("utf-8").replace('"phantom-mr"', '"mr.csv"')
    recipe.write_text(text, "utf-8")
    data = ["--data", str(export)]
    assert main(["train", "--config", str(recipe), *data, "--out", str(run)]) == 0
    where = ["--run", str(run), "--bundle", str(SPEC), "--out", str(folder)]
    assert main(["pack", *where, *data]) == 0
    assert main(["verify", str(folder)]) == 0
    return run, folder


def test_the_manifest_holds_the_labelled_sequence_only(export, capsys):
    rows = manifest.read(export / "mr.csv")
    assert len(rows) == HEADS
    assert {row.path.rpartition("/")[2] for row in rows} == {"3.dcm"}
    assert {row.split for row in rows} == {"train", "val"}


def test_series_between_percentiles_are_learned(export, packed, tmp_path):
    run, folder = packed
    words = ["--manifest", str(run / "manifest.csv"), "--data", str(export)]
    words += ["--draws", "100", "--out", str(tmp_path)]
    assert main(["evaluate", str(folder), *words]) == 0
    figures = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))["entries"]
    [auroc] = [x for x in figures if x["name"].startswith("AUROC of lesion")]
    assert auroc["figure"]["value"] > 0.95
    series = json.loads((folder / "bundle.json").read_text("utf-8"))["input"]["series"]
    assert series["percentiles"] == [[1, 99.8], [80, 99.8]]
    assert series["match"] == {"SeriesDescription": "*FLAIR*"}


def test_the_node_takes_the_sequence_and_names_its_frames(
    packed, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = '[node]\ndata_dir = "var"\n[worker]\ndevice = "cpu"\nthreads = 1\n'
    (tmp_path / "config.toml").write_text(config, "utf-8")
    uid, sphere = write_head(tmp_path / "study", 70_001, lesion=True)
    installed = CliRunner().invoke(app, ["model", "install", str(packed[1])])
    assert installed.exit_code == 0, installed.output
    words = ["mr-lesion-phantom", "study", "--out", "tried", "--json"]
    tried = CliRunner().invoke(app, ["model", "try", *words])
    assert tried.exit_code == 0, tried.output
    results = [dcmread(path) for path in json.loads(tried.stdout)["files"]]
    [report] = [ds for ds in results if ds.SOPClassUID.endswith("88.33")]
    [(named, frames)] = images_of_groups(report)
    assert named == f"{uid}.1"
    several = frames if hasattr(frames, "__iter__") else [frames]
    inside = {number + 1 for number in sphere.slices(24, 6.0)}
    assert set(several) <= inside | {min(inside) - 1, max(inside) + 1}
    said = "\n".join(texts(report))
    assert "Analysed: series 3 (24 slices of 6 mm)" in said
    assert "series 2 (24 slices of 6 mm): by its SeriesDescription" in said


def test_a_smoke_run_of_the_recipe_draws_its_own_series(tmp_path):
    assert (
        main(["train", "--config", str(RECIPE), "--out", str(tmp_path), "--smoke"]) == 0
    )
    rows = manifest.read(tmp_path / "manifest.csv")
    assert {row.source for row in rows} == {"phantom-mr"}
    last = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()[-1]
    assert LESION in json.loads(last)
