"""Commissioning: a threshold that does not travel is re-set with local studies."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import bundle
from model.__main__ import main
from model.bundle import BundleError
from model.commission import (
    LabelError,
    Stamp,
    addendum_name,
    commission,
    fitting,
    read_labels,
)
from model.phantom import chest
from tests.model.foreign import key_pair

SHIPPED = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
STAMP = Stamp("Elsewhere", "2026-11-25T12:00:00+00:00")
N = 24


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of phantoms with a table of their views."""
    folder = tmp_path_factory.mktemp("site")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "patient", "view"])
        for index in range(N):
            view = "AP" if index % 2 else "PA"
            pixels = chest(700 + index, view=view, rows=160, columns=150)
            name = f"{index}.png"
            Image.fromarray((pixels >> 4).astype(np.uint8)).save(folder / name)
            table.writerow([name, f"p{index // 2 * 2 + index % 2}", view])
    return folder


@pytest.fixture(scope="module")
def done(site, tmp_path_factory):
    description = bundle.describe(SHIPPED)
    rows = read_labels(site / "labels.csv", description.labels)
    out = tmp_path_factory.mktemp("out") / addendum_name(description)
    return commission(SHIPPED, rows, [site], out, STAMP)


def test_an_addendum_re_sets_what_was_labelled_and_nothing_else(done):
    before = bundle.load(SHIPPED).description
    after = bundle.load(SHIPPED, addendum=done.path).description
    assert done.heads == ("view",)
    assert after.digest == before.digest
    assert after.device_uid == before.device_uid
    points = after.parameters["operating points"]
    assert points.startswith("site: view-PA 0.5")
    assert "home: rotated-90" in points
    assert "no, home" in before.parameters["commissioned"]
    assert "24 images of 24 patients" in after.parameters["commissioned"]
    changed = [label.name for label in after.labels if not label.calibrated]
    assert {"view-PA", "view-AP"} <= set(changed)


def test_the_site_is_in_the_domain_and_strangers_are_not(done, site):
    at_site = bundle.load(SHIPPED, addendum=done.path)
    image = np.asarray(Image.open(site / "0.png"), np.float32) / 255
    noise = np.random.default_rng(1).random((160, 150), np.float32)
    known, stranger = at_site.predict([image, noise])
    assert known.in_domain
    assert known.probabilities["view-PA"] > 0.5
    assert not stranger.in_domain


def test_figures_have_numbers_and_intervals(done):
    names = [figure["name"] for figure in done.figures]
    assert "view-AP: AUROC" in names
    assert "view-AP: balanced accuracy at the home operating point" in names
    assert "view-AP: balanced accuracy at the site operating point" in names
    assert "refused at the site domain limit" in names
    assert "inverted: flagged, not re-set" in names
    for figure in done.figures:
        assert figure["n"] > 0
        assert figure["low"] <= figure["value"] + 1e-9
        assert figure["value"] <= figure["high"] + 1e-9


def test_the_addendum_names_no_patient_and_no_file(done):
    text = done.path.read_text("utf-8")
    assert '"p1"' not in text
    assert ".png" not in text
    assert "Research use only" in text


def test_an_addendum_of_another_bundle_is_refused(done, tmp_path):
    table = json.loads(done.path.read_text("utf-8"))
    table["bundle"]["digest"] = "0" * 64
    other = tmp_path / "other.site.json"
    other.write_text(json.dumps(table), "utf-8")
    with pytest.raises(BundleError, match="is for the bundle 000000000000"):
        bundle.load(SHIPPED, addendum=other)


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (lambda t: t.update(schema_version=9), "schema version 9"),
        (lambda t: t["heads"]["view"].update(temperature=0), "not positive"),
        (lambda t: t["heads"]["view"].update(bias=[0, float("nan")]), "not finite"),
        (lambda t: t["heads"]["view"].update(bias=[0]), "one bias for each class"),
        (lambda t: t["domain"].update(mean=[0.0]), "another domain dimension"),
        (lambda t: t["points"]["view-PA"].update(grey_low=0.9), "grey zone"),
        (lambda t: t["points"].update(x=t["points"]["view-PA"]), "the bundle lacks"),
        (lambda t: t.pop("heads"), "not understood"),
    ],
)
def test_an_addendum_that_cannot_be_is_refused(done, tmp_path, change, hint):
    table = json.loads(done.path.read_text("utf-8"))
    change(table)
    path = tmp_path / "changed.site.json"
    path.write_text(json.dumps(table), "utf-8")
    with pytest.raises(BundleError, match=hint):
        bundle.load(SHIPPED, addendum=path)


def test_a_signed_addendum(site, tmp_path):
    """With a public key both the bundle and what was re-set must be signed."""
    private, public = key_pair(tmp_path)
    copy = Path(shutil.copytree(SHIPPED, tmp_path / "copy"))
    bundle.sign_bundle(copy, private)
    labels = read_labels(site / "labels.csv", bundle.describe(copy).labels)
    out = tmp_path / "a.site.json"
    commission(copy, labels, [site], out, Stamp("x", "now", private, public))
    bundle.load(copy, public_key=public, addendum=out)
    table = json.loads(out.read_text("utf-8"))
    table["domain"]["limit"] = 99.0
    out.write_text(json.dumps(table), "utf-8")
    with pytest.raises(BundleError, match="signature of the site addendum"):
        bundle.load(copy, public_key=public, addendum=out)


def test_too_few_and_wrong_labels_are_refused(site, tmp_path):
    description = bundle.describe(SHIPPED)
    rows = read_labels(site / "labels.csv", description.labels)
    with pytest.raises(BundleError, match="too few labelled images"):
        commission(SHIPPED, rows[:12], [site], tmp_path / "x", STAMP)
    lines = (site / "labels.csv").read_text("utf-8").splitlines()
    mixed = [lines[0]]
    for index, line in enumerate(lines[1:]):
        path, patient, _ = line.split(",")
        mixed.append(f"{path},{patient},{'PA' if index % 4 < 2 else 'AP'}")
    (tmp_path / "mixed.csv").write_text("\n".join(mixed), "utf-8")
    rows = read_labels(tmp_path / "mixed.csv", description.labels)
    with pytest.raises(BundleError, match="not told apart here"):
        commission(SHIPPED, rows, [site], tmp_path / "x", STAMP)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("name,view\na,PA\n", "needs a column `path`"),
        ("path,age\na,3\n", "needs a column `path`"),
        ("path,view\na,lateral\n", "line 2: 'lateral' is none of"),
        ("path,inverted\na,maybe\n", "write 1, 0 or nothing"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, text, hint):
    path = tmp_path / "labels.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(LabelError, match=hint):
        read_labels(path, bundle.describe(SHIPPED).labels)


def test_answers_by_label_and_by_head(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("file,view,inverted\na.png,view-pa,1\nb.png,,no\n", "utf-8")
    first, second = read_labels(path, bundle.describe(SHIPPED).labels)
    assert first.labels == {"view-PA": 1.0, "view-AP": 0.0, "inverted": 1.0}
    assert second.labels == {"inverted": 0.0}
    assert first.patient == "a.png"


def test_the_verb(site, tmp_path, capsys):
    out = tmp_path / "a.site.json"
    words = ["commission", str(SHIPPED), "--labels", str(site / "labels.csv")]
    assert main([*words, "--data", str(site), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "AUROC" in said
    assert f"addendum: {out}" in said
    missing = ["commission", str(SHIPPED), "--labels", "none.csv", "--data", "."]
    assert main(missing) == 1
    assert "none.csv" in capsys.readouterr().err


def scores(n, shift, spread=2.0, seed=1):
    random = np.random.default_rng(seed)
    positive = np.arange(n) % 2 == 1
    return random.normal(np.where(positive, 2, -2) + shift, spread), positive


@pytest.mark.parametrize("n", [24, 40, 200])
def test_a_shifted_score_is_put_right(n):
    score, positive = scores(n, shift=5.0)
    line = fitting.fit_line(score, positive, 1.0)
    says = line.probability(score) >= 0.5
    home = score >= 0
    right = (says == positive).mean()
    assert right > (home == positive).mean() + 0.2
    assert -line.bias / line.slope == pytest.approx(5.0, abs=1.5)


def test_a_few_images_keep_the_home_slope():
    score, positive = scores(24, shift=1.0)
    line = fitting.fit_line(score, positive, 0.8)
    assert (line.slope, line.method) == (0.8, "threshold")


def test_separable_images_do_not_make_certainty():
    positive = np.arange(40) % 2 == 1
    line = fitting.fit_line(np.where(positive, 3.0, -3.0), positive, 1.0)
    assert 0.8 < float(line.probability(np.array([3.0]))[0]) < 0.999


def test_the_mix_of_the_labelled_images_does_not_move_the_threshold():
    """Ten times as many negatives: the same place where mistakes are equal."""
    score, positive = scores(2000, shift=3.0)
    few = positive & (np.arange(2000) % 20 == 1)
    chosen = ~positive | few
    all_of_them = fitting.fit_line(score, positive, 1.0)
    unequal = fitting.fit_line(score[chosen], positive[chosen], 1.0)
    assert unequal.bias / unequal.slope == pytest.approx(
        all_of_them.bias / all_of_them.slope, abs=0.5
    )
