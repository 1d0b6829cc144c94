"""Packed convolutions say what the trunk says, and bfloat16 errs less in them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from model.bundle import arithmetic, fusion, packing
from model.network import Head, build

NATIVE = pytest.mark.skipif(
    not arithmetic.has_native_bfloat16(torch.device("cpu")),
    reason="this processor does not multiply bfloat16",
)
VERBOSE = torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON)
SIDE = 64


def trunk(architecture):
    """With normalisations that do something, as after training."""
    torch.manual_seed(5)
    made = build(architecture, [Head("view", ("PA", "AP"))])
    made.eval().requires_grad_(requires_grad=False)
    for layer in made.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
            layer.weight.uniform_(0.5, 1.5)
            layer.bias.normal_(0, 0.1)
    return made.trunk


def images(n_images):
    made = torch.rand(n_images, 1, SIDE, SIDE)
    return made.to(memory_format=torch.channels_last)


def packed(plain, dtype):
    return packing.packed(fusion.fused(plain, joins=True), images(2), dtype)


@pytest.mark.parametrize(
    "architecture",
    ["slim", "resnet18", "mobilenet_v3_small", "densenet121", "convnext_tiny"],
)
def test_a_packed_trunk_gives_the_feature_map_of_the_trunk(architecture):
    plain = trunk(architecture)
    ours = packed(plain, torch.float32)
    for n_images in (1, 2, 3):  # also of another size than it was packed for
        given = images(n_images)
        with torch.inference_mode():
            expected, found = plain(given), ours(given)
        scale = float(expected.abs().max())
        assert torch.allclose(found, expected, atol=1e-4 * scale)


@pytest.mark.parametrize(
    "dtype", [torch.float32, pytest.param(torch.bfloat16, marks=NATIVE)]
)
def test_nothing_is_laid_out_anew_on_a_call(dtype, capfd):
    plain = [one for one in trunk("slim").modules() if isinstance(one, nn.Conv2d)]
    ours, given = packed(trunk("slim"), dtype), images(2).to(dtype)
    with torch.inference_mode(), VERBOSE:
        ours(given)
    said = capfd.readouterr().out.splitlines()
    done = [line.split(",")[5] for line in said if ",exec," in line]
    assert done == ["convolution"] * len(plain)


def test_only_calls_of_convolutions_are_left():
    ours = packed(trunk("slim"), torch.float32)
    done = {node.op for node in ours.graph.nodes}
    assert done == {"placeholder", "call_function", "output"}
    assert not list(ours.children())


def test_a_trunk_that_cannot_be_traced_stays_as_it_is():
    class Depends(nn.Module):
        def forward(self, given):
            return given if float(given.sum()) > 0 else -given

    found = fusion.fused(Depends(), joins=True)
    assert packing.packed(found, images(1), torch.float32) is found


@NATIVE
def test_bfloat16_errs_less_than_with_everything_rounded():
    plain, given = trunk("slim"), images(4)
    ours = packed(plain, torch.bfloat16)
    rounded = fusion.fused(plain, joins=True).bfloat16()
    with torch.inference_mode():
        expected = plain(given).mean((2, 3))
        found, other = (
            one(given.bfloat16()).float().mean((2, 3)) for one in (ours, rounded)
        )
    assert float((found - expected).abs().mean()) < 0.9 * float(
        (other - expected).abs().mean()
    )


def test_a_number_is_rounded_to_one_of_its_neighbours_and_sums_stay():
    torch.manual_seed(7)
    weight = torch.randn(16, 12, 3, 3)
    found = packing.rounded(weight, torch.bfloat16)
    assert found.dtype == torch.bfloat16
    assert found.shape == weight.shape
    off = (found.float() - weight).abs()
    assert bool((off <= weight.abs() * 2**-7).all())  # one step, not one and a half
    nearest = weight.bfloat16().float()
    sums = [float((w - weight).sum((2, 3)).abs().mean()) for w in (found, nearest)]
    assert sums[0] < sums[1] / 5


def test_a_kernel_of_one_number_is_rounded_to_the_nearest():
    weight = torch.randn(8, 4, 1, 1)
    found = packing.rounded(weight, torch.bfloat16)
    assert torch.equal(found, weight.bfloat16())


def test_float32_is_not_rounded():
    weight = torch.randn(8, 4, 3, 3)
    assert packing.rounded(weight, torch.float32) is weight
