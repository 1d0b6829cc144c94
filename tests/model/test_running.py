"""A faster way to run a network says the same as the network, or is not used."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model import bundle
from model.bundle import arithmetic, exported, fusion, running
from model.network import Head, build
from model.phantom import chest

SHIPPED = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
HEADS = [Head("view", ("PA", "AP"))]
NATIVE = pytest.mark.skipif(
    not arithmetic.has_native_bfloat16(torch.device("cpu")),
    reason="this processor does not multiply bfloat16",
)
EXTRAS = {
    "onnxruntime": ("onnxruntime", "onnx", "onnxscript"),
    "openvino": ("openvino",),
}


def network(architecture):
    """With normalisations that do something, as after training."""
    torch.manual_seed(3)
    made = build(architecture, HEADS).eval().requires_grad_(requires_grad=False)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0, 0.1)
    return made


@pytest.mark.parametrize(
    ("architecture", "joins"),
    [
        ("slim", True),
        ("slim", False),
        ("resnet18", True),
        ("mobilenet_v3_small", True),
        ("densenet121", False),
        ("convnext_tiny", True),
    ],
)
def test_a_fused_trunk_gives_the_feature_map_of_the_trunk(architecture, joins):
    trunk = network(architecture).trunk
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        expected, found = trunk(images), fusion.fused(trunk, joins=joins)(images)
    scale = float(expected.abs().max())
    assert torch.allclose(found, expected, atol=1e-4 * scale)


def test_normalisation_shortcuts_and_relus_go_into_the_convolutions():
    trunk = network("slim").trunk
    layers = [type(layer) for layer in fusion.fused(trunk, joins=True).modules()]
    n_convolutions = sum(isinstance(one, nn.Conv2d) for one in trunk.modules())
    assert nn.BatchNorm2d not in layers
    # Three shortcuts have a convolution of their own, which nothing follows.
    assert layers.count(fusion.Joined) == n_convolutions - 3
    assert layers.count(nn.Conv2d) == 3


def test_a_network_that_cannot_be_traced_runs_as_it_is():
    class Depends(nn.Module):
        def forward(self, images):
            return images if float(images.sum()) > 0 else -images

    assert isinstance(fusion.fused(Depends(), joins=True), Depends)


def test_auto_takes_what_the_hardware_multiplies_natively(monkeypatch):
    cpu = torch.device("cpu")
    for has, expected in ((False, ("float32",)), (True, ("bfloat16", "float32"))):
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda has=has: {"amx_bf16": has}
        )
        assert arithmetic.chain("auto", cpu) == expected
    assert arithmetic.chain("float32", cpu) == ("float32",)


def test_a_runtime_asked_for_by_name_is_not_passed_over_for_a_faster_precision(
    monkeypatch,
):
    monkeypatch.setattr(arithmetic, "has_native_bfloat16", lambda _device: True)
    cpu = torch.device("cpu")
    assert bundle.Wanted(runner="openvino").precisions(cpu) == ("float32",)
    for runner in ("torch", "auto"):
        found = bundle.Wanted(runner=runner).precisions(cpu)
        assert found == ("bfloat16", "float32")


def test_auto_takes_the_finer_half_precision_on_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    found = arithmetic.chain("auto", torch.device("cuda"))
    assert found == ("float16", "bfloat16", "float32")


def test_without_packed_convolutions_the_first_block_stays_in_float32_beside_bfloat16(
    packed, monkeypatch
):
    monkeypatch.setattr(arithmetic, "has_native_bfloat16", lambda _device: False)
    engine = bundle.load(packed[0]).parts.engine
    exact = running.TorchRunner(engine, "bfloat16")._stem
    assert {one.dtype for one in exact.parameters()} == {torch.float32}
    half = running.TorchRunner(engine, "float16")._stem
    assert n_parameters(exact) > n_parameters(half) > 0


def phantom(number):
    stored = chest(40 + number, view="PA", rows=160, columns=140)
    return (stored / 4095).astype(np.float32)


def n_parameters(part):
    return sum(one.numel() for one in part.parameters())


def test_the_usual_way_agrees_and_says_how_it_runs(packed):
    plain = bundle.load(packed[0])
    fast = bundle.load(packed[0], running=bundle.Wanted("float32"))
    assert isinstance(fast.parts.engine.runner, running.TorchRunner)
    assert str(fast.arithmetic) == "torch float32"
    assert fast.arithmetic.difference < 1e-4
    images = [np.random.default_rng(1).random((50, 40), np.float32)]
    [one], [other] = plain.predict(images), fast.predict(images)
    assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
    for name, plane in one.activation_maps.items():
        assert np.allclose(plane, other.activation_maps[name], atol=1e-3)


def test_what_moves_a_probability_too_far_is_refused_and_float32_runs(
    packed, monkeypatch
):
    monkeypatch.setattr(running, "TOLERANCE", 1e-6)
    monkeypatch.setattr(arithmetic, "has_native_bfloat16", lambda _device: False)
    found = bundle.load(packed[0], running=bundle.Wanted("bfloat16"))
    assert "bfloat16" not in str(found.arithmetic)
    assert "torch bfloat16: moves a probability by" in found.arithmetic.refused[0]


def test_bfloat16_that_agrees_is_used(packed, monkeypatch):
    monkeypatch.setattr(running, "DOMAIN_TOLERANCE", 10.0)
    monkeypatch.setattr(running, "TOLERANCE", 0.5)
    monkeypatch.setattr(arithmetic, "has_native_bfloat16", lambda _device: False)
    found = bundle.load(packed[0], running=bundle.Wanted("bfloat16"))
    assert str(found.arithmetic) == "torch bfloat16"
    assert 0 < found.arithmetic.difference < 0.5


def test_a_domain_distance_that_moves_is_refused(packed, monkeypatch):
    monkeypatch.setattr(running, "TOLERANCE", 1.0)
    monkeypatch.setattr(running, "DOMAIN_TOLERANCE", 0.0)
    found = bundle.load(packed[0], running=bundle.Wanted("float32"))
    assert found.parts.engine.runner is None
    assert "the distance by" in found.arithmetic.refused[0]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    ("runner", "precision", "within"),
    [
        ("torch", "float32", 1e-4),
        pytest.param("torch", "bfloat16", 0.01, marks=NATIVE),
        ("onnxruntime", "float32", 1e-4),
        ("openvino", "float32", 1e-4),
    ],
)
@pytest.mark.parametrize("n_images", [1, 3, 5])
def test_each_way_to_run_says_the_same_with_its_maps_and_distances(
    runner, precision, within, n_images, cache
):
    for module in EXTRAS.get(runner, ()):
        pytest.importorskip(module)
    wanted = bundle.Wanted(precision, runner, cache, threads=1)
    found = bundle.load(SHIPPED, running=wanted)
    assert str(found.arithmetic) == f"{runner} {precision}"
    assert not found.arithmetic.refused
    said = bundle.noted(cache, found.description.digest)
    assert said is not None
    assert said["runner"] == runner
    images = [phantom(number) for number in range(n_images)]
    expected = bundle.load(SHIPPED).predict(images)
    for one, other in zip(found.predict(images), expected, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=within)
        limit = other.domain_limit
        distances = (one.domain_distance / limit, other.domain_distance / limit)
        assert distances[0] == pytest.approx(distances[1], abs=5 * within)
        assert one.activation_maps.keys() == other.activation_maps.keys()
        for label, plane in one.activation_maps.items():
            assert np.allclose(plane, other.activation_maps[label], atol=10 * within)


def test_openvino_tells_its_makers_nothing(packed, tmp_path):
    pytest.importorskip("openvino")
    pytest.importorskip("openvino_telemetry")
    script = (
        "import sys; from pathlib import Path; from model import bundle;"
        "wanted = bundle.Wanted('float32', 'openvino', Path(sys.argv[2]), 1);"
        "print(bundle.load(Path(sys.argv[1]), running=wanted).arithmetic);"
        "print([one for one in sys.modules.items() if 'telemetry' in one[0]])"
    )
    home = tmp_path / "home"
    home.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", script, packed[0], tmp_path / "cache"],
        # Where this is set it sends nothing anyway.
        env={**os.environ, "HOME": str(home), "CI": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    how, modules = ran.stdout.splitlines()
    assert how == "openvino float32"
    assert "'openvino_telemetry', None" in modules
    assert "openvino_telemetry.main" not in modules
    assert not list(home.rglob("*"))  # nor has it made itself a number for us


def test_a_kept_file_that_was_changed_is_written_anew(packed, tmp_path):
    for module in EXTRAS["onnxruntime"]:
        pytest.importorskip(module)
    wanted = bundle.Wanted("float32", "onnxruntime", tmp_path, threads=1)
    bundle.load(packed[0], running=wanted)
    [path] = tmp_path.glob("*-onnx-*/model.onnx")
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    found = bundle.load(packed[0], running=wanted)
    assert str(found.arithmetic) == "onnxruntime float32"
    assert len(path.read_bytes()) == len(raw)


def test_a_runtime_that_is_not_installed_is_named_and_torch_runs(packed, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    found = bundle.load(packed[0], running=bundle.Wanted("float32", "openvino"))
    assert str(found.arithmetic) == "torch float32"
    assert "pip install 'dicomnode[openvino]'" in found.arithmetic.refused[0]


def test_auto_takes_the_faster_of_those_that_agree(packed, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert bundle.Wanted(runner="auto").runners("cpu") == ("torch",)
    monkeypatch.setattr(
        bundle.Wanted, "runners", lambda _self, _kind: ("other", "torch")
    )
    plain = bundle.load(packed[0])
    network = plain.parts.engine.network
    monkeypatch.setattr(exported, "runner", lambda *_given: network)
    speeds = {"other": 1.0, "torch": 2.0}
    monkeypatch.setattr(
        running._Probe, "seconds", lambda _self, one: speeds[one.arithmetic.runner]
    )
    for fastest in ("other", "torch"):
        speeds["torch"] = 2.0 if fastest == "other" else 0.5
        found = running.accelerated(plain, bundle.Wanted("float32", runner="auto"))
        assert found.arithmetic.runner == fastest


def test_the_note_of_how_it_runs_is_read_back(tmp_path):
    said = replace(bundle.Arithmetic("torch", "bfloat16", 0.0042), refused=("x: y",))
    assert bundle.noted(tmp_path, "abc") is None
    arithmetic.note(tmp_path / "new", "abc", said)
    assert bundle.noted(tmp_path / "new", "abc") == said.to_dict()
