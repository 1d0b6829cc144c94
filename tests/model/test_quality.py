"""Checks without a network: what they measure and say, where limits come from."""

from __future__ import annotations

import json
import math
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from model import bundle, quality
from model.__main__ import main
from model.bundle import integrity
from model.bundle.quality import answer, parse_check
from model.data import images, manifest
from model.evaluate.quality import changes, figures, fitted
from model.phantom import chest
from tests.model.conftest import RECIPES
from tests.model.datasets import image as dicom_image

SPEC = tomllib.loads((RECIPES / "cxr-qc.bundle.toml").read_text("utf-8"))
CODE = {"value": "X", "scheme": "99DCMNODE", "meaning": "X"}


def phantom(seed=1, rows=256, columns=224):
    return (chest(seed, view="PA", rows=rows, columns=columns) / 4095).astype("f4")


def remarks(check, header):
    return bundle.remarks([check], quality.measure(phantom()), header)


def a_check(**changes):
    return parse_check({"name": "x", "code": CODE, "text": "is {value}"} | changes)


def test_a_plain_gradient_measures_as_computed_by_hand():
    ramp = np.tile(np.linspace(0, 1, 101, dtype=np.float32), (101, 1))
    found = quality.measure(ramp)
    assert found["median"] == pytest.approx(0.5, abs=0.01)
    assert found["contrast"] == pytest.approx(0.9 * 0.6, abs=0.01)
    assert found["sharpness"] == pytest.approx(0, abs=1e-4)  # a ramp has no Laplacian
    assert (found["clipped"], found["aspect"]) == (0, 1)
    assert found["border"] == 1  # its columns are flat, each of them
    assert quality.measure(ramp + ramp.T * 0.5)["border"] == 0


def test_the_border_is_the_empty_area_at_the_sides():
    image = np.zeros((100, 80), np.float32)
    image[20:90, 8:80] = np.random.default_rng(1).random((70, 72))
    assert quality.measure(image)["border"] == pytest.approx(1 - 70 * 72 / 8000)
    assert quality.measure(np.zeros_like(image))["border"] == 1


@pytest.mark.parametrize("factor", [2, 3, 8])
def test_the_resolution_of_the_detector_does_not_decide(factor):
    small = phantom()
    large = np.kron(small, np.ones((factor, factor), np.float32))
    for name, value in quality.measure(small).items():
        assert quality.measure(large)[name] == pytest.approx(value, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (300, 2), (5, 2000)])
def test_odd_shapes_are_measured(shape):
    for plane in (np.zeros(shape, np.float32), np.ones(shape, np.float32)):
        assert all(math.isfinite(value) for value in quality.measure(plane).values())


@pytest.mark.parametrize("name", changes())
def test_each_way_of_making_an_image_worse_moves_its_own_measure(name):
    measure, worse = changes()[name]
    before = quality.measure(phantom())[measure]
    after = quality.measure(np.ascontiguousarray(worse(phantom()), np.float32))[measure]
    assert abs(after - before) > 0.25 * max(before, 0.2)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.1, "present"), (0.25, "undetermined"), (0.5, "absent"), (0.95, "present")],
)
def test_limits_have_a_grey_zone(value, said):
    limits = bundle.Limits(low=0.2, usual_low=0.3, usual_high=0.9, high=0.9)
    assert answer(limits, value) == said


@pytest.mark.parametrize(
    "wrong",
    [
        {"measure": "median"},
        {"measure": "unknown", "limits": {}},
        {},
        {"measure": "median", "keyword": "Modality", "limits": {}},
        {"measure": "median", "limits": {"low": 1, "usual_low": 0}},
    ],
)
def test_a_check_that_cannot_be_made_is_refused(wrong):
    with pytest.raises(ValueError, match=r"measure|order"):
        a_check(**wrong)


@pytest.mark.parametrize(
    ("value", "said"), [("YES", "present"), ("NO", "absent"), ("yes", "present")]
)
def test_burned_in_annotation_is_taken_from_the_header(value, said):
    check = a_check(keyword="BurnedInAnnotation", values=["YES"])
    ds = Dataset()
    assert (
        bundle.remarks(
            [check], quality.measure(phantom()), bundle.headers_of([check], ds)
        )
        == ()
    )
    ds.BurnedInAnnotation = value
    [remark] = bundle.remarks(
        [check], quality.measure(phantom()), bundle.headers_of([check], ds)
    )
    assert (remark.answer, remark.text) == (said, f"is {value}")


@pytest.mark.parametrize(
    ("value", "said"),
    [("0.4", "absent"), ("-2", "undetermined"), ("4.5", "present"), (None, "")],
)
def test_deviation_index_is_held_against_limits(value, said):
    limits = {"low": -3, "usual_low": -1, "usual_high": 1, "high": 3}
    check = a_check(keyword="DeviationIndex", limits=limits)
    ds = Dataset()
    ds.DeviationIndex = value
    found = bundle.remarks(
        [check], quality.measure(phantom()), bundle.headers_of([check], ds)
    )
    assert [one.answer for one in found] == ([said] if said else [])


@pytest.mark.parametrize("text", ["", "high", "nan", "inf"])
def test_a_header_that_is_no_number_says_nothing(text):
    check = a_check(keyword="DeviationIndex", limits={"high": 3})
    assert remarks(check, {"DeviationIndex": text}) == ()


def test_limits_are_those_of_the_widest_source_and_stretched(packed, trained):
    said = {check.name: check for check in bundle.describe(packed[0]).quality}
    assert said["aspect"].limits.high == 1.67  # a rule stays as it is
    limits = said["exposure"].limits
    assert limits.low < limits.usual_low < limits.usual_high < limits.high
    assert math.isinf(said["low-contrast"].limits.high)
    rows = [r for r in manifest.read(trained / "manifest.csv") if r.split == "val"]
    found = {
        (entry.name, entry.on): entry.figure.value
        for entry in figures(list(said.values()), rows, [trained], draws=5)
    }
    assert found["any remark, as they are", "phantom"] <= 0.4
    assert found["found: squeezed to half its height", "phantom"] == 1


def test_every_check_of_the_default_bundle_has_limits_and_a_code():
    said = bundle.describe(RECIPES.parent / "bundles" / "cxr-qc").quality
    assert [one.name for one in said] == [one["name"] for one in SPEC["quality"]]
    assert {one.measure for one in said} >= set(quality.MEASURES)
    assert all(one.limits for one in said if one.measure)


def test_real_images_of_training_are_quiet_and_worse_ones_are_not(shared_data):
    """The limits are of the validation images; these took no part in them."""
    data = shared_data / "images"
    rows = [row for row in images.rows(data) if row.split == "train"]
    few = []
    for source in ("nih_cxr14", "kermany_paed"):
        here = [row for row in rows if row.source == source]
        few += here[:: len(here) // 45]
    checks = bundle.describe(RECIPES.parent / "bundles" / "cxr-qc").quality
    found = figures(checks, few, [data], draws=5)
    assert len(found) > 20
    for entry in found:
        if entry.name.endswith("as they are"):
            assert entry.figure.value <= 0.04, entry
        elif entry.name == "found: contrast 0.25":
            assert entry.figure.value > 0.1  # the weakest of them; docs/models.md
        else:
            assert entry.figure.value > 0.6, entry


def test_the_shipped_limits_are_those_that_the_validation_images_give(shared_data):
    data = shared_data / "images"
    rows = [row for row in images.rows(data) if row.split == "val"]
    shipped = bundle.describe(RECIPES.parent / "bundles" / "cxr-qc").quality
    again = fitted(SPEC["quality"], rows, [data], SPEC["quality_limits"])
    assert [parse_check(one) for one in again] == list(shipped)


def test_the_verb_says_it_of_a_picture_and_of_a_dicom_file(packed, tmp_path, capsys):
    picture, film = tmp_path / "a.png", tmp_path / "b.dcm"
    Image.fromarray(np.full((64, 32), 9, np.uint8)).save(picture)
    ds = dicom_image(np.tile(np.arange(64), (64, 1)), BurnedInAnnotation="YES")
    ds.save_as(film, implicit_vr=False, little_endian=True)
    assert main(["quality", str(packed[0]), str(picture), str(film)]) == 0
    said = capsys.readouterr().out
    assert "a.png  low-contrast  present" in said
    assert "a.png  aspect  present" in said
    assert "b.dcm  burned-in-annotation  present" in said
    assert "Research use only" in said
    assert main(["quality", str(packed[0]), str(tmp_path / "none.png")]) == 1


def test_a_bundle_without_checks_is_named(packed, tmp_path, capsys):

    folder = Path(shutil.copytree(packed[0], tmp_path / "old"))
    table = json.loads((folder / "bundle.json").read_text("utf-8"))
    del table["quality"]
    (folder / "bundle.json").write_text(json.dumps(table), "utf-8")
    (folder / integrity.MANIFEST).write_bytes(integrity.build(folder))
    assert bundle.describe(folder).quality == ()
    assert main(["quality", str(folder), "x.png"]) == 1
    assert "give cxr-qc" in capsys.readouterr().err
