"""Commissioning of a series bundle: thresholds re-set by a site's labelled series."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from dicomnode.cli.app import app
from model import bundle
from model.__main__ import main
from model.bundle import BundleError
from model.commission import (
    LabelError,
    Stamp,
    addendum_name,
    commission,
    read_series_labels,
)
from model.phantom_ct import scan
from tests.series import ct, mr

N, SLICES = 24, 20
OFF = 140  # Hounsfield units
STAMP = Stamp("Elsewhere", "2026-11-26T12:00:00+00:00")


def uid_of(index, series=5):
    return f"{ct.STUDY}.7{index}.{series}"


def drawn(index):
    """Every other with a sphere, by a scanner whose Hounsfield units are off."""
    size = {"n_slices": SLICES, "size": ct.PIXELS, "spacing_mm": 10}
    found = scan(400 + index, lesion=index % 2 == 1, **size)
    found.hounsfield[:] = np.maximum(found.hounsfield - OFF, -1024)
    return found


def write_scan(folder, index, series=5, **said):
    """An Enhanced CT object."""
    ds = ct.enhanced(drawn(index), series)
    uid = uid_of(index, series)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ct.STUDY}.7{index}", uid
    ds.SOPInstanceUID, ds.PatientID = f"{uid}.1", f"LOCAL{index // 2}"
    for keyword, value in said.items():
        setattr(ds, keyword, value)
    ct.write(ds, folder / str(index) / f"{series}.dcm")


def write_table(path, columns, lines):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *lines])
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Scans by study, each with a localizer, and a table of what they show."""
    root = tmp_path_factory.mktemp("site")
    for index in range(N):
        write_scan(root / "scans", index)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]}
    write_scan(root / "scans", 0, 1, **scout)
    lines = [(f"{ct.STUDY}.7{index}", index % 2) for index in range(N)]
    write_table(root / "labels.csv", ("StudyInstanceUID", "nodule"), lines)
    return root


@pytest.fixture(scope="module")
def described(ct_bundle):
    return bundle.describe(ct_bundle)


@pytest.fixture(scope="module")
def done(ct_bundle, site, described, tmp_path_factory):
    rows = read_series_labels(site / "labels.csv", described, site / "scans")
    out = tmp_path_factory.mktemp("out") / addendum_name(bundle.describe(ct_bundle))
    return commission(ct_bundle, rows, [site / "scans"], out, STAMP)


def test_the_addendum_re_sets_the_operating_point_by_series(ct_bundle, done):
    after = bundle.load(ct_bundle, addendum=done.path).description
    assert done.heads == ("nodule",)
    assert after.parameters["operating points"].startswith("site: nodule 0.5")
    said = after.parameters["commissioned"]
    assert said.startswith(f"site operating points from {N} series of 12 patients")
    assert not any(label.calibrated for label in after.labels)
    by_name = {one["name"]: one for one in done.figures}
    home = by_name["nodule: balanced accuracy at the home operating point"]
    here = by_name["nodule: balanced accuracy at the site operating point"]
    assert {home["n"], here["n"]} == {N}
    assert {home["n_patients"], here["n_patients"]} == {12}
    assert here["value"] > home["value"] + 0.2
    table = json.loads(done.path.read_text("utf-8"))
    assert (table["unit"], table["n_images"]) == ("series", N)
    assert "LOCAL" not in done.path.read_text("utf-8")
    assert ct.STUDY not in done.path.read_text("utf-8")


def test_the_site_is_in_the_domain_that_service_judges_by(ct_bundle, done):
    """The node sums up slices by another path than commissioning does."""
    at_site = bundle.load(ct_bundle, addendum=done.path)
    answers = []
    for index in (40, 41):
        found = drawn(index)
        stacks = [at_site.prepare(ct.stack_of(found, n)) for n in range(SLICES)]
        answers.append(at_site.sum_up(at_site.infer(stacks)))
    assert all(one.in_domain for one in answers)
    healthy, sick = (one.probabilities["nodule"] for one in answers)
    assert healthy < 0.5 < sick
    noise = np.random.default_rng(1).random((6, ct.PIXELS, ct.PIXELS), np.float32)
    stranger = at_site.sum_up(at_site.infer([at_site.prepare(noise)]))
    assert not stranger.in_domain


def test_the_node_commissions_by_the_same_table(ct_bundle, site, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = '[node]\ndata_dir = "var"\n[worker]\ndevice = "cpu"\nthreads = 1\n'
    (tmp_path / "config.toml").write_text(config, "utf-8")
    installed = CliRunner().invoke(app, ["model", "install", str(ct_bundle)])
    assert installed.exit_code == 0, installed.output
    words = ["model", "commission", "ct-nodule", "--labels", str(site / "labels.csv")]
    said = CliRunner().invoke(app, [*words, "--data", str(site / "scans")])
    assert said.exit_code == 0, said.output
    assert "balanced accuracy at the site operating point" in said.output
    found = CliRunner().invoke(app, ["model", "list", "--json"])
    assert '"commissioned": true' in found.output
    trusting = [*words[:3], "--trust-header", "--data", str(site / "scans")]
    refused = CliRunner().invoke(app, ["model", *trusting[1:]])
    assert refused.exit_code == 1
    assert "compares no header value: give --labels" in refused.output


def test_the_model_command_writes_the_same_addendum(ct_bundle, site, done, tmp_path):
    copy = shutil.copytree(ct_bundle, tmp_path / "ct-nodule")
    lines = [(uid_of(index), f"p{index}", index % 2) for index in range(N)]
    columns = ("SeriesInstanceUID", "patient", "nodule")
    table = write_table(tmp_path / "labels.csv", columns, lines)
    words = ["commission", str(copy), "--labels", str(table)]
    assert main([*words, "--data", str(site / "scans")]) == 0
    [written] = tmp_path.glob("*.site.json")
    ours, theirs = (json.loads(x.read_text("utf-8")) for x in (written, done.path))
    for key in ("heads", "points", "domain", "reference", "unit", "n_images"):
        assert ours[key] == theirs[key], key
    assert (ours["n_patients"], theirs["n_patients"]) == (N, 12)


@pytest.mark.parametrize(
    ("columns", "line", "remedy"),
    [
        (("nodule",), ("1",), "needs a column `path` or `SeriesInstanceUID` or"),
        (("path", "other"), ("0", "1"), "one of nodule: add them"),
        (("path", "nodule"), ("nowhere", "1"), "line 2: no series .* has this path"),
        (("path", "nodule"), ("0", "maybe"), "line 2, nodule: write 1, 0 or nothing"),
        (("SeriesInstanceUID", "nodule"), ("1.2.3", "1"), "correct it, or take the"),
        (
            ("StudyInstanceUID", "nodule"),
            (f"{ct.STUDY}.799", "0"),
            "2 series have this",
        ),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(
    site, described, tmp_path, columns, line, remedy
):
    for series in (5, 6):  # two series of one study
        write_scan(tmp_path / "scans", 99, series)
    shutil.copytree(site / "scans" / "0", tmp_path / "scans" / "0")
    table = write_table(tmp_path / "labels.csv", columns, [line])
    with pytest.raises(LabelError, match=remedy):
        read_series_labels(table, described, tmp_path / "scans")


def test_of_a_study_the_series_that_the_bundle_takes_is_meant(mr_bundle, tmp_path):
    found = scan(3, lesion=True, size=32, n_slices=4)
    of_study = {"StudyInstanceUID": "1.2.3"}
    t1 = {"SeriesDescription": "AX T1"} | of_study
    mr.write_series(found, tmp_path / "scans", 2, **t1)
    flair = mr.FLAIR | of_study
    mr.write_series(found, tmp_path / "scans", 3, **flair)
    table = write_table(
        tmp_path / "labels.csv", ("StudyInstanceUID", "nodule"), [("1.2.3", 1)]
    )
    said = bundle.describe(mr_bundle)
    [row] = read_series_labels(table, said, tmp_path / "scans")
    assert row.path == f".#{ct.STUDY}.3"
    whole = mr.enhanced(found, 5, SeriesDescription="FLAIR 3D", **of_study)
    ct.write(whole, tmp_path / "scans" / "enhanced.dcm")
    with pytest.raises(LabelError, match="2 series have this StudyInstanceUID"):
        read_series_labels(table, said, tmp_path / "scans")


def test_too_few_series_are_refused_before_any_is_read(
    ct_bundle, site, described, tmp_path
):
    lines = [(f"{index}/5.dcm", index % 2) for index in range(19)]
    table = write_table(tmp_path / "labels.csv", ("path", "nodule"), lines)
    rows = read_series_labels(table, described, site / "scans")
    with pytest.raises(BundleError, match="too few labelled series: at least 20"):
        commission(ct_bundle, rows, [tmp_path / "elsewhere"], tmp_path / "a", STAMP)


def test_labels_that_the_bundle_cannot_tell_apart_are_refused(
    ct_bundle, site, described, tmp_path
):
    lines = [(str(index), index // 2 % 2) for index in range(1, N)]
    table = write_table(tmp_path / "labels.csv", ("path", "nodule"), lines)
    rows = read_series_labels(table, described, site / "scans")
    with pytest.raises(BundleError, match="nodule is not told apart here"):
        commission(ct_bundle, rows, [site / "scans"], tmp_path / "a", STAMP)
