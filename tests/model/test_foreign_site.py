"""A simulated foreign site: flagged by the monitor, put right by commissioning."""

from __future__ import annotations

import csv
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import bundle
from model.bundle.watch import is_undetermined, watched
from model.commission import Stamp, addendum_name, commission, read_labels
from model.data import images
from model.data.dataset import read_image
from model.monitor import Monitor, Observed, Reference
from tests.model.foreign import foreign

SHIPPED = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
N_COMMISSIONED, N_HELD_OUT = 40, 60


@pytest.fixture(scope="module")
def site(shared_data, tmp_path_factory):
    """Adults of the validation part as another site would have stored them."""
    root = shared_data / "images"
    rows = [
        row
        for row in images.rows(root)
        if row.source == "nih_cxr14" and row.split == "val"
    ]
    # by a hash: in this pack the patients' numbers go with the era of their images
    rows = sorted(rows, key=lambda row: sha256(row.patient.encode()).digest())
    rows = rows[: N_COMMISSIONED + N_HELD_OUT]
    folder = tmp_path_factory.mktemp("foreign")
    for index, row in enumerate(rows):
        pixels = foreign(read_image(root / row.path), index)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["path", "patient", "view"])
        for index, row in enumerate(rows):
            table.writerow([f"{index}.png", row.patient, row.view])
    return folder


def predictions(loaded, folder, rows):
    shown = [read_image(folder / row.path) for row in rows]
    return [
        p
        for at in range(0, len(shown), 16)
        for p in loaded.predict(shown[at : at + 16])
    ]


def balanced(says, truth):
    return (says[truth].mean() + (~says[~truth]).mean()) / 2


def test_commissioning_repairs_what_the_home_threshold_gets_wrong(site, tmp_path):
    home = bundle.load(SHIPPED)
    rows = read_labels(site / "labels.csv", home.description.labels)
    known, held_out = rows[:N_COMMISSIONED], rows[N_COMMISSIONED:]
    out = tmp_path / addendum_name(home.description)
    commission(SHIPPED, known, [site], out, Stamp("Elsewhere", "now"))
    truth = np.array([row.labels["view-AP"] == 1 for row in held_out])
    before = predictions(home, site, held_out)
    after = predictions(bundle.load(SHIPPED, addendum=out), site, held_out)
    at_home = np.array([p.logits["view-AP"] > p.logits["view-PA"] for p in before])
    at_site = np.array([p.probabilities["view-AP"] >= 0.5 for p in after])
    assert balanced(at_home, truth) < 0.8
    assert balanced(at_site, truth) > balanced(at_home, truth) + 0.04
    assert np.mean([p.in_domain for p in before]) < 0.2  # the gate says: not at home
    assert np.mean([p.in_domain for p in after]) > 0.85


def test_the_monitor_flags_the_site_within_fifty_studies(site):
    home = bundle.load(SHIPPED)
    monitor = Monitor(Reference.from_dict(home.description.reference), "x")
    labels = home.description.labels
    rows = read_labels(site / "labels.csv", labels)[:50]
    found = []
    for one in predictions(home, site, rows):
        unsure = one.in_domain and is_undetermined(labels, one.probabilities)
        seen = Observed(watched(one), not one.in_domain, unsure)
        found += monitor.observe("", seen)
    assert "domain distance" in {alarm.what for alarm in found}


def test_home_as_the_bundle_has_it_gives_no_false_alarm():
    """Ten thousand studies drawn from the stored reference."""
    reference = Reference.from_dict(bundle.describe(SHIPPED).reference)
    random = np.random.default_rng(1)
    n = 10_000
    columns = {
        name: inside(feature)[random.choice(len(feature.shares), n, p=feature.shares)]
        for name, feature in reference.features.items()
    }
    outside, unsure = (random.random(n) < rate for rate in reference.rates.values())
    monitor = Monitor(reference, "x")
    alarms = [
        alarm
        for i in range(n)
        for alarm in monitor.observe(
            "",
            Observed(
                {name: float(column[i]) for name, column in columns.items()},
                bool(outside[i]),
                bool(unsure[i]),
            ),
        )
    ]
    assert len(alarms) <= 1


def inside(feature):
    """A value within each bin of a feature."""
    edges = np.asarray(feature.edges)
    return np.concatenate([edges[:1] - 1, (edges[:-1] + edges[1:]) / 2, edges[-1:] + 1])
