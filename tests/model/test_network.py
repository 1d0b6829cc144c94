"""Networks: shapes of every backbone, the map inside the pass, local weights."""

from __future__ import annotations

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from model.explain import class_activation, direction
from model.network import ARCHITECTURES, STRIDES, Head, build, n_parameters

HEADS = (Head("view", ("pa", "ap")), Head("inverted", ("inverted",), "sigmoid"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_shapes_at_every_stride(architecture):
    for stride in STRIDES[architecture]:
        network = build(architecture, HEADS, feature_stride=stride).eval()
        with torch.inference_mode():
            output = network(torch.randn(2, 1, 64, 64))
        assert output.features.shape == (2, network.width, 64 // stride, 64 // stride)
        assert output.pooled.shape == (2, network.width)
        assert output.logits["view"].shape == (2, 2)
        assert output.logits["inverted"].shape == (2, 1)


def test_slim_is_slim():
    assert 0.6e6 < n_parameters(build("slim", HEADS)) < 0.8e6


def test_map_times_weights_pools_to_the_logit():
    torch.manual_seed(1)
    network = build("slim", HEADS).eval()
    with torch.no_grad():
        output = network(torch.randn(1, 1, 64, 64))
    linear = network.heads["view"]
    plane = (output.features[0] * linear.weight[1][:, None, None]).sum(0)
    logit = plane.mean() + linear.bias[1]
    assert torch.allclose(logit, output.logits["view"][0, 1], atol=1e-5)


def test_softmax_direction_ignores_what_is_common_to_all_classes():
    weight = torch.randn(2, 8)
    shifted = weight + torch.randn(8)
    first, second = (direction(HEADS[0], w, 1) for w in (weight, shifted))
    assert torch.allclose(first, second, atol=1e-5)
    plane = class_activation(torch.rand(8, 4, 4), first)
    assert plane.shape == (4, 4)
    assert 0 <= plane.min() <= plane.max() <= 1


def test_nothing_speaks_for_the_class_gives_an_empty_map():
    assert not class_activation(torch.ones(3, 2, 2), -torch.ones(3)).any()


def test_local_colour_weights_are_summed_into_one_channel(tmp_path):
    reference = torchvision.models.resnet18(weights=None).eval()
    path = tmp_path / "resnet18.safetensors"
    save_file(reference.state_dict(), path)
    network = build("resnet18", HEADS, feature_stride=32, weights=path).eval()
    grey = torch.randn(1, 1, 64, 64)
    layers = list(reference.children())[:-2]
    with torch.inference_mode():
        expected = torch.nn.Sequential(*layers)(grey.expand(1, 3, 64, 64))
        assert torch.allclose(network(grey).features, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"architecture": "vgg"}, "use one of slim"),
        ({"architecture": "slim", "feature_stride": 8}, "use 16 or 32"),
    ],
)
def test_refuses_unknown_parts(arguments, hint):
    with pytest.raises(ValueError, match=hint):
        build(heads=HEADS, **arguments)


def test_heads_need_classes_and_a_known_activation():
    with pytest.raises(ValueError, match="at least 2"):
        Head("view", ("one",))
    with pytest.raises(ValueError, match="use 'softmax' or 'sigmoid'"):
        Head("view", ("a", "b"), "relu")
