"""A network for series: train, pack, evaluate, and the node names the slices."""

from __future__ import annotations

import csv
import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

import model
from dicomnode.cli.app import app
from dicomnode.decoder import DecodeLimits, DecoderPool, InThisProcess
from dicomnode.domain.series import SeriesInput
from dicomnode.predictor.reading import Windows, decoded, needed, stacks
from dicomnode.worker.geometry import Named, _to_read, volume_of
from model.__main__ import main
from model.data import manifest, series_phantoms
from model.data.volumes import Look, slices_of, spread
from model.data.volumes import stacks as stacks_of
from model.phantom_ct import scan
from model.preparation import Preparation, statistics
from model.quality import measure
from model.train.config import RecipeError, parse_recipe
from tests.model.conftest import RECIPES
from tests.series import ct
from tests.series.test_series_pipeline import images_of_groups, texts

RECIPE = RECIPES / "ct-nodule-phantom.toml"
SPEC = RECIPES / "ct-nodule-phantom.bundle.toml"
SLICES = 40


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The recipe as it ships, trained and packed; the run and the bundle."""
    root = tmp_path_factory.mktemp("trained")
    run, folder = root / "run", root / "ct-nodule-phantom"
    assert main(["train", "--config", str(RECIPE), "--out", str(run)]) == 0
    where = ["--run", str(run), "--bundle", str(SPEC), "--out", str(folder)]
    assert main(["pack", *where]) == 0
    return run, folder


def test_series_become_a_report_that_names_the_slices(trained, tmp_path, monkeypatch):
    run, folder = trained
    assert main(["verify", str(folder)]) == 0
    out = tmp_path / "report"
    words = ["--manifest", str(run / "manifest.csv"), "--data", str(run)]
    words += ["--draws", "200", "--out", str(out)]
    assert main(["evaluate", str(folder), *words]) == 0
    figures = json.loads((out / "evaluation.json").read_text("utf-8"))["entries"]
    [auroc] = [x for x in figures if x["name"].startswith("AUROC of nodule")]
    assert auroc["figure"]["value"] > 0.95
    assert auroc["figure"]["n"] == 40
    table = json.loads((folder / "bundle.json").read_text("utf-8"))
    assert table["reference"]["n_images"] == 40
    assert table["input"]["series"]["stack_depth"] == 3
    assert "Research use only" in (folder / "model_card.md").read_text("utf-8")
    _in_the_node(folder, tmp_path, monkeypatch)


def test_series_bundles_are_compared_with_each_other_alone(trained, tmp_path, capsys):
    run, folder = trained
    words = ["evaluate", str(folder), "--manifest", str(run / "manifest.csv")]
    words += ["--data", str(run), "--draws", "5", "--out", str(tmp_path)]
    assert main([*words, "--against", str(folder)]) == 0
    found = json.loads((tmp_path / "evaluation.json").read_text("utf-8"))
    [one] = found["comparisons"]
    assert one["label"] == "nodule"
    assert one["difference"]["difference"]["value"] == 0.0
    of_images = str(Path(model.__file__).parent / "bundles" / "cxr-qc")
    for more, said in (
        (["--against", of_images], "name another with --against"),
        (["--strangers", str(tmp_path)], "answers for series; leave them out"),
    ):
        assert main([*words, *more]) != 0
        assert said in " ".join(capsys.readouterr().err.split())


def _in_the_node(folder, tmp_path, monkeypatch):
    """Installed, and tried on a CT of single slices that no training has seen."""
    monkeypatch.chdir(tmp_path)
    config = '[node]\ndata_dir = "var"\n[worker]\ndevice = "cpu"\nthreads = 1\n'
    (tmp_path / "config.toml").write_text(config, "utf-8")
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=SLICES)
    ct.write_series(found, tmp_path / "study")
    installed = CliRunner().invoke(app, ["model", "install", str(folder)])
    assert installed.exit_code == 0, installed.output
    words = ["ct-nodule-phantom", "study", "--out", "tried", "--json"]
    tried = CliRunner().invoke(app, ["model", "try", *words])
    assert tried.exit_code == 0, tried.output
    results = [dcmread(path) for path in json.loads(tried.stdout)["files"]]
    [report] = [
        ds for ds in results if ds.Modality == "SR" and "88.33" in ds.SOPClassUID
    ]
    named = {int(uid.rpartition(".")[2]) - 1 for uid, _ in images_of_groups(report)}
    inside = set(found.sphere.slices(SLICES, found.spacing_mm))
    assert named
    assert named <= inside | {min(inside) - 1, max(inside) + 1}
    assert "most in slice" in "\n".join(texts(report))


def test_a_smoke_run_of_the_recipe_ends_and_resumes(tmp_path):
    words = ["train", "--config", str(RECIPE), "--out", str(tmp_path), "--smoke"]
    assert main(words) == 0
    before = (tmp_path / "model.safetensors").read_bytes()
    assert main(words) == 0
    assert (tmp_path / "model.safetensors").read_bytes() == before
    last = (tmp_path / "metrics.jsonl").read_text().splitlines()[-1]
    assert "nodule" in json.loads(last)


@pytest.mark.parametrize("as_one_file", [True, False])
@pytest.mark.parametrize(
    "windows",
    [
        Windows(((-600.0, 1500.0), (40.0, 400.0))),
        Windows(((1.0, 99.0),), percentiles=True),
        Windows(),
    ],
)
def test_training_shows_slices_as_service_does(tmp_path, as_one_file, windows):
    found = scan(5, lesion=True, size=ct.PIXELS, n_slices=12)
    if as_one_file:
        path = ct.write(ct.enhanced(found), tmp_path / "one.dcm")
        files = [path]
    else:
        files, path = ct.write_series(found, tmp_path / "s"), tmp_path / "s"
    by_uid = {str(dcmread(one).SOPInstanceUID): one for one in files}
    decoder = InThisProcess()
    with_headers = zip(by_uid, _surveyed(decoder, by_uid), strict=True)
    located = [(uid, header) for uid, some in with_headers for header in some]
    look = Look(windows.pairs, 3, 5, 0.7, windows.percentiles)
    volume = volume_of(
        Named("1", "s"),
        located,
        SeriesInput(n_slices=5, central_fraction=0.7, stack_depth=3),
    )
    wanted = [(index, volume.slices[index]) for index in needed(volume, 3)]
    planes = decoded(decoder, lambda uid: by_uid[uid].open("rb"), wanted, windows, 0)
    served = list(stacks(volume, 3, planes))
    check_prepared(served, volume, wanted, windows, by_uid)
    assert [index for index, _ in served] == look.read(path)
    shown = stacks_of(path, look.read(path), look)
    for (_, one), other in zip(served, shown, strict=True):
        np.testing.assert_array_equal(one, other)


def check_prepared(served, volume, wanted, windows, by_uid):
    """What decoders prepare, slice by slice, is what a whole stack would become."""
    preset, measured = Preparation(48, 0.06), frozenset(volume.wanted[1::2])
    windows = windows._replace(preparation=preset, measured=measured)

    def opened(uid):
        return by_uid[uid].open("rb")

    with DecoderPool(DecodeLimits(), 1) as pool:
        found = list(stacks(volume, 3, decoded(pool, opened, wanted, windows, 0)))
    assert [index for index, _ in found] == [index for index, _ in served]
    for (index, ours), (_, whole) in zip(found, served, strict=True):
        shown = whole / np.float32(255)
        own = shown[len(shown) // 3]
        np.testing.assert_array_equal(ours.canvases, preset(shown))
        assert list(ours.statistics) == statistics(shown)
        assert ours.shape == whole.shape[-2:]
        assert dict(ours.measures) == (measure(own) if index in measured else {})


def _surveyed(decoder, by_uid):
    with ExitStack() as opened:
        files = [opened.enter_context(one.open("rb")) for one in by_uid.values()]
        return decoder.survey(files).result()


def test_a_folder_of_series_becomes_a_manifest(tmp_path, capsys):
    root, table = tmp_path / "export", tmp_path / "labels.csv"
    for number in range(6):
        found = scan(number, lesion=number % 2 == 0, size=32, n_slices=4)
        patient = {"PatientID": f"P{number}", "StudyInstanceUID": f"1.2.{number}"}
        for series in (2, 3):  # two series of a study in one folder
            uid = {"SeriesInstanceUID": f"1.2.{number}.{series}"}
            ct.write_series(found, root / str(number), series, **patient, **uid)
        kind = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
        scout = ct.slice_of(found, 0, 1, ImageType=kind, **patient)
        ct.write(scout, root / str(number) / "scout.dcm")
    (root / "0" / "readme.txt").write_text("no image")
    with table.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["SeriesInstanceUID", "nodule"])
        lines.writerows([f"1.2.{n}.2", int(n % 2 == 0)] for n in range(6))
    out = tmp_path / "manifest.csv"
    words = ["series", "--root", str(root), "--table", str(table), "--out", str(out)]
    shares = ["--split", "hash", "--val", "0.4", "--test", "0"]
    assert main(["prepare", *words, *shares, "--decode"]) == 0
    rows = manifest.read(out)
    assert sorted(row.path for row in rows) == [f"{n}#1.2.{n}.2" for n in range(6)]
    assert {row.labels["Nodule"] for row in rows} == {0.0, 1.0}
    assert len({row.patient for row in rows}) == 6
    assert not any("P1" in row.patient for row in rows)
    places = slices_of(root / rows[0].path)
    numbers = [dcmread(one.path).InstanceNumber for one in places]
    assert numbers == [1, 2, 3, 4]
    said = capsys.readouterr().out
    assert "left out: 6 images, a localizer" in said
    assert "left out: 1 images, not a DICOM image" in said


@pytest.mark.parametrize("n_slices", [1, 7, 40, 121])
@pytest.mark.parametrize(("n_read", "part"), [(0, 1.0), (5, 0.5), (16, 1.0)])
def test_the_slices_that_training_reads_are_those_of_service(n_slices, n_read, part):
    wanted = SeriesInput(n_slices=n_read, central_fraction=part)
    assert sorted(set(spread(n_slices, n_read, part))) == list(
        _to_read(n_slices, wanted)
    )


HEAD = {"name": "a", "classes": ["a"], "activation": "sigmoid"}
SOFTMAX = {"classes": ["a", "b"], "activation": "softmax"}


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"series": {"n_slices": 9, "stack_depth": 2}}, "stack_depth must be odd"),
        ({"series": {"n_slices": 4}}, "slices_per_step must be 1 to n_slices"),
        ({"series": {"n_slices": 9, "windows": [[40, 0]]}}, "width > 0"),
        ({"series": {"n_slices": 9, "aggregation": "mean"}}, "use one of"),
        ({"series": {"n_slices": 9, "slices": 3}}, "unknown key series.slices"),
        (
            {"series": {"n_slices": 9}, "heads": [HEAD | SOFTMAX]},
            "use activation sigmoid",
        ),
        ({"series": {"n_slices": 9}, "optimiser": {"mixup": 0.2}}, "leave them out"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(change, remedy):
    with pytest.raises(RecipeError, match=remedy):
        parse_recipe({"name": "x", "heads": [HEAD]} | change)


@pytest.mark.parametrize(
    ("source", "label"), [("phantom-ct", "nodule"), ("phantom-mr", "lesion")]
)
def test_phantoms_are_drawn_once(tmp_path, source, label):
    said = {"n": 2, "first_seed": 4, "split": "train"}
    rows = series_phantoms.write(tmp_path, source, **said)
    before = (tmp_path / rows[0].path).stat().st_mtime_ns
    assert series_phantoms.write(tmp_path, source, **said) == rows
    assert (tmp_path / rows[0].path).stat().st_mtime_ns == before
    assert [row.labels for row in rows] == [{label: 0.0}, {label: 1.0}]
