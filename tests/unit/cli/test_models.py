"""dicomnode model: a bundle listed, shown, tried, installed and commissioned."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from dicomnode.cli.app import app
from dicomnode.demo import phantoms
from model.phantom import chest

SHIPPED = Path(__file__).resolve().parents[3] / "model" / "bundles" / "cxr-qc"
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
CONFIG = """
[node]
data_dir = "var"
[worker]
device = "cpu"
threads = 1
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DICOMNODE_")]:
        monkeypatch.delenv(name)
    (tmp_path / "config.toml").write_text(CONFIG, "utf-8")
    return tmp_path


def model(*words, code=0):
    result = CliRunner().invoke(app, ["model", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


def records(text):
    return [json.loads(line) for line in text.splitlines()]


def test_list_show_and_verify():
    [row] = [r for r in records(model("list", "--json")) if r["name"] == "cxr-qc"]
    assert (row["state"], row["commissioned"]) == ("active", False)
    shown = records(model("show", "cxr-qc", "--json"))[0]
    assert shown["digest"] == row["digest"]
    assert "Research use only" in shown["intended_use"]
    assert "ok: cxr-qc" in model("verify", "cxr-qc")
    assert "ok: cxr-qc" in model("verify", SHIPPED)


def test_errors_have_a_remedy_and_a_code(here):
    assert "install it" in model("show", "nothing", code=4)
    (here / "empty").mkdir()
    assert "give the bundle's folder" in model("verify", here / "empty", code=1)
    assert "install --shadow" in model("promote", "cxr-qc", code=1)
    model("commission", "cxr-qc", code=2)


def test_install_and_roll_back():
    assert "installed: cxr-qc" in model("install", SHIPPED)
    rows = records(model("list", "--json"))
    states = [row["state"] for row in rows if row["name"] == "cxr-qc"]
    assert states == ["active", "kept"]
    [act] = records(model("rollback", "cxr-qc", "--json"))
    assert act["act"] == "rolled back"
    assert "installed in shadow" in model("install", SHIPPED, "--shadow")


def text_of(report):
    """Every text of a Structured Report."""
    return " ".join(str(e.value) for e in report.iterall() if e.keyword == "TextValue")


def phantom(folder, number, view="PA"):
    """A phantom's DICOM file, as the demonstration sends it."""
    pixels = chest(300 + number, view=view, rows=256, columns=230)
    order = phantoms.Order(number, "PHANTOM^TEST", "F", NOON)
    ds = phantoms.computed_radiograph(order, phantoms.Exposure(pixels, view))
    path = folder / f"{number}.dcm"
    path.write_bytes(phantoms.encoded(ds, ExplicitVRLittleEndian))
    return path


def test_try_writes_the_reports_that_a_pacs_would_get(here):
    folder = here / "images"
    folder.mkdir()
    phantom(folder, 1)
    [said] = records(model("try", "cxr-qc", folder, "--out", here / "out", "--json"))
    assert said["reason"] == ""
    labels = [one["label"] for one in said["images"][0]["findings"]]
    assert "rotated-180" in labels
    assert "view-PA" in said["images"][0]["categories"]
    written = [dcmread(path) for path in said["files"]]
    assert {"SR", "OT"} <= {ds.Modality for ds in written}
    [report] = [ds for ds in written if ds.SOPClassUID.name.startswith("Compre")]
    assert "commissioned=no, home operating points" in text_of(report)
    assert "Research use only" in model("try", "cxr-qc", folder)


def test_try_says_what_is_no_image(here):
    (here / "x.txt").write_text("x", "utf-8")
    assert "no DICOM image" in model("try", "cxr-qc", here / "x.txt", code=1)


def test_commissioning_by_header_is_used_and_named(here):
    folder = here / "local"
    folder.mkdir()
    for number in range(20):
        phantom(folder, number, "AP" if number % 2 else "PA")
    words = ["commission", "cxr-qc", "--trust-header", "--data", folder]
    said = model(*words, "--site", "Ward 3")
    assert "view-AP: AUROC" in said
    assert "wrote" in said
    [row] = [r for r in records(model("list", "--json")) if r["name"] == "cxr-qc"]
    assert row["commissioned"]
    text = model("try", "cxr-qc", folder / "0.dcm", "--out", here / "out")
    assert "ABSENT" in text
    reports = [dcmread(p) for p in sorted((here / "out").rglob("*.dcm"))]
    said = " ".join(map(text_of, reports))
    assert "commissioned=site operating points from 20 images" in said
    history = (here / "var" / "bundles" / "history.jsonl").read_text("utf-8")
    assert '"act": "commissioned"' in history
    assert "DEMO-" not in history
