"""The Predictor port: each runner of a network says the same, heat maps included."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from dicomnode.domain.findings import ImageFindings, NotAnalysed
from dicomnode.domain.instance import Instance
from dicomnode.predictor import BundlePredictor, Site
from model import bundle
from model.phantom import chest
from tests.model.datasets import image as dicom_image

BUNDLE = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
RUNNERS = ("torch", "onnxruntime")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(params=RUNNERS)
def predictor(request, cache):
    if request.param == "onnxruntime":
        for module in ("onnxruntime", "onnx", "onnxscript"):
            pytest.importorskip(module)
    running = bundle.Wanted("float32", request.param, cache, threads=1)
    made = BundlePredictor(BUNDLE, site=Site(running=running))
    assert made.describe().parameters["arithmetic"] == f"{request.param} float32"
    return made


def film(number, pixels):
    ds = dicom_image(np.rint(pixels * 255))
    file = io.BytesIO()
    ds.save_as(file, implicit_vr=False, little_endian=True)
    file.seek(0)
    return Instance(f"1.7.{number}", "1.2", "1.2", "1.2", "x", {}), file


def test_one_answer_for_each_image_in_order_as_the_network_was_packed(predictor):
    broken = Instance("1.9", "1.2", "1.2", "1.2", "x", {})
    phantoms = [
        chest(91 + n, view=view, rows=256, columns=224) / 4095
        for n, view in enumerate(("PA", "AP"))
    ]
    given = [
        film(1, phantoms[0]),
        (broken, io.BytesIO(b"no DICOM" * 99)),
        film(2, phantoms[1]),
    ]
    first, refused, second = predictor.predict(given)
    assert isinstance(refused, NotAnalysed)
    assert refused.sop_instance_uid == "1.9"
    expected = BundlePredictor(BUNDLE).predict(
        [film(1, phantoms[0]), film(2, phantoms[1])]
    )
    for said, plain in zip((first, second), expected, strict=True):
        assert isinstance(said, ImageFindings)
        assert said.sop_instance_uid == plain.sop_instance_uid
        assert [one.label for one in said.categories] == [
            one.label for one in plain.categories
        ]
        for one, other in zip(said.findings, plain.findings, strict=True):
            assert (one.label, one.presence) == (other.label, other.presence)
            assert one.probability == pytest.approx(other.probability, abs=1e-3)
            if other.activation_map is not None:
                assert np.allclose(one.activation_map, other.activation_map, atol=1e-2)
