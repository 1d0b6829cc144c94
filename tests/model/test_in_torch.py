"""In any batch, on any number of threads, each image gets the same answer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model import bundle
from model.bundle import arithmetic, in_torch
from model.network import Head, build

SHIPPED = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
NATIVE = pytest.mark.skipif(
    not arithmetic.has_native_bfloat16(torch.device("cpu")),
    reason="this processor does not multiply bfloat16",
)
HEADS = [Head("view", ("PA", "AP"))]


@pytest.fixture(params=[1, 2, 3])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


PRECISIONS = [("float32", 1e-4), pytest.param(("bfloat16", 2e-2), marks=NATIVE)]


@pytest.fixture(scope="module", params=PRECISIONS, ids=["float32", "bfloat16"])
def engine_within(request):
    """An engine, and how far a logit may be: other sizes add up in another order."""
    precision, within = request.param
    wanted = bundle.Wanted(precision)
    return bundle.load(SHIPPED, running=wanted).parts.engine, within


def test_an_image_gets_the_same_answer_in_any_batch_on_any_number_of_threads(
    engine_within, n_threads
):
    engine, within = engine_within
    torch.manual_seed(2)
    images = torch.rand(19, 1, engine.preset.size, engine.preset.size)
    with torch.inference_mode():
        alone = [engine.runner(one[None]) for one in images]
        for n_images in (2, 5, 19):
            found = engine.runner(images[:n_images])
            for name, logits in found.logits.items():
                expected = torch.cat([one.logits[name] for one in alone[:n_images]])
                assert torch.allclose(logits, expected, atol=within)
            pooled = found.features.mean((2, 3))
            assert torch.allclose(pooled, found.pooled, atol=1e-5)
    assert torch.get_num_threads() == n_threads


def test_all_heads_in_one_product_say_what_each_says():
    torch.manual_seed(4)
    heads = [
        *HEADS,
        Head("finding", ("lung", "pneumonia", "other"), "sigmoid", (-1, 0, -1)),
    ]
    network = build("slim", heads).eval().requires_grad_(requires_grad=False)
    features = torch.rand(3, network.width, 4, 4)
    expected, found = network.read(features), in_torch.Heads(network)(features)
    assert found.logits.keys() == expected.logits.keys()
    for name, logits in expected.logits.items():
        assert torch.allclose(found.logits[name], logits, atol=1e-5)
    assert torch.equal(found.pooled, expected.pooled)
    assert torch.equal(found.features, features)


@pytest.mark.parametrize("isa", ["AVX2", "avx512_core"])
def test_onednn_held_to_less_than_bfloat16_has_none(isa, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    cpu = torch.device("cpu")
    assert arithmetic.has_native_bfloat16(cpu)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", isa)
    assert not arithmetic.has_native_bfloat16(cpu)
    assert arithmetic.chain("auto", cpu) == ("float32",)
