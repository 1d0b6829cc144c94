"""Manifest, readers, cache and balanced batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from model.data import images, manifest, phantoms
from model.data.dataset import BalancedBatches, Images, read_image, targets
from model.data.manifest import ManifestError, Row
from model.network import Head

VIEW = Head("view", ("view-PA", "view-AP"))
COLUMNS = "file,split,source,patient_id,view,task_view,sha256\n"


def row(number, **more):
    plain = Row(
        path=f"{number}.png",
        patient=f"p{number}",
        study=f"s{number}",
        view="PA",
        labels={"view-PA": 1.0, "view-AP": 0.0},
        split="train",
        source="home",
        sha256=f"{number:064x}",
    )
    return replace(plain, **more)


def test_manifest_survives_writing_and_reading(tmp_path):
    rows = [row(1), row(2, labels={}, mask=frozenset({"view"}), weight=0.5)]
    manifest.write(tmp_path / "m.csv", rows)
    again = manifest.read(tmp_path / "m.csv")
    assert again == rows
    assert manifest.digest(again) == manifest.digest(rows)


def test_manifest_refuses_missing_columns_and_bad_numbers(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("path,patient\n", "utf-8")
    with pytest.raises(ManifestError, match="lacks the columns labels"):
        manifest.read(path)
    text = manifest.to_csv([row(1)]).replace("view-AP=0", "view-AP=x")
    path.write_text(text, "utf-8")
    with pytest.raises(ManifestError, match="line 2"):
        manifest.read(path)


@pytest.mark.parametrize("shared", ["patient", "sha256"])
def test_a_patient_or_image_in_two_splits_is_refused(shared):
    first, second = row(1), row(2, split="val")
    manifest.check_split([first, second])
    with pytest.raises(ManifestError, match=f"values of {shared}"):
        manifest.check_split(
            [first, replace(second, **{shared: getattr(first, shared)})]
        )


def test_labels_csv_masks_a_view_that_was_not_recorded(tmp_path):
    lines = ["a.jpg,train,one,p1,AP,AP,00", "b.jpg,val,two,p2,AP,,01"]
    (tmp_path / "labels.csv").write_text(COLUMNS + "\n".join(lines), "utf-8")
    known, cohort = images.rows(tmp_path)
    assert known.labels == {"view-PA": 0, "view-AP": 1}
    assert not known.mask
    assert cohort.mask == {"view"}
    wanted = targets([known, cohort], VIEW)
    assert wanted[0].tolist() == [0, 1]
    assert np.isnan(wanted[1]).all()


def test_labels_csv_must_be_there_and_whole(tmp_path):
    with pytest.raises(ManifestError, match="no labels"):
        images.rows(tmp_path)
    (tmp_path / "labels.csv").write_text("file,split\n", "utf-8")
    with pytest.raises(ManifestError, match="lacks patient_id"):
        images.rows(tmp_path)


def test_real_labels_are_split_by_patient(shared_data):
    rows = images.rows(shared_data / "images")
    manifest.check_split(rows)
    counts = Counter((r.source, r.split) for r in rows)
    assert counts["nih_cxr14", "train"] == 687
    assert counts["nih_cxr14", "val"] == 109
    unmasked = [r for r in rows if "view" not in r.mask]
    assert {r.source for r in unmasked} == {"nih_cxr14"}


def test_cache_holds_the_pixels_and_notices_another_file(tmp_path):
    rows = phantoms.write(tmp_path, n=2, first_seed=4, split="train")
    store = Images((tmp_path,), rows, side=32, cache=tmp_path / "cache")
    assert len(store) == 2
    assert store[0].shape == (32, 32)
    whole = read_image(tmp_path / rows[0].path)
    assert float(store[0].float().mean()) / 255 == pytest.approx(whole.mean(), abs=0.02)
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / rows[0].path)
    with pytest.raises(ManifestError, match="sha256 differs"):
        Images((tmp_path,), rows, side=24, cache=tmp_path / "cache")
    with pytest.raises(ManifestError, match="in none of 1 data folders"):
        Images((tmp_path / "x",), rows, side=20, cache=tmp_path / "cache")


def test_balanced_batches_have_their_shares_and_repeat_nobody_too_soon():
    rows = [row(i, source="a") for i in range(10)] + [
        row(i, source="b") for i in range(3)
    ]
    batches = BalancedBatches(rows, {"a/view-PA": 3, "b": 1}, batch=8, seed=1)
    drawn = [batches(step) for step in range(10)]
    for indices in drawn:
        assert sum(i < 10 for i in indices) == 6
        assert len(indices) == 8
    first = [i for step in drawn[:5] for i in step if i < 10]
    assert set(Counter(first).values()) == {3}
    assert batches(7) == drawn[7]
    with pytest.raises(ManifestError, match="stratum c"):
        BalancedBatches(rows, {"c": 1}, batch=8, seed=1)
