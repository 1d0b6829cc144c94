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


def _theirs(architecture, net, colour):
    """The feature map of torchvision's own network, before pooling."""
    if architecture.startswith("resnet"):
        return torch.nn.Sequential(*list(net.children())[:-2])(colour)
    if architecture == "densenet121":
        return torch.relu(net.features(colour))
    if architecture == "swin_v2_t":
        return net.norm(net.features(colour)).permute(0, 3, 1, 2)
    if architecture == "vit_b_16":
        return _tokens(net, colour)
    features = net.features(colour)
    return net.classifier[0](features) if "convnext" in architecture else features


def _tokens(net, colour):
    seen = []
    hook = net.encoder.register_forward_hook(lambda *parts: seen.append(parts[2]))
    net(colour)
    hook.remove()
    side = colour.shape[-1] // 16
    return seen[0][:, 1:].transpose(1, 2).reshape(len(colour), -1, side, side)


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if a != "slim"])
def test_local_colour_weights_are_summed_into_one_channel(architecture, tmp_path):
    """A grey image gives the features that torchvision gives it as three channels."""
    torch.manual_seed(1)
    reference = torchvision.models.get_model(architecture, weights=None).eval()
    path = tmp_path / "local.safetensors"
    save_file(reference.state_dict(), path)
    stride = STRIDES[architecture][-1]
    network = build(architecture, HEADS, feature_stride=stride, weights=path).eval()
    side = 224 if architecture == "vit_b_16" else 64  # one size is all theirs takes
    grey = torch.randn(1, 1, side, side)
    with torch.inference_mode():
        expected = _theirs(architecture, reference, grey.expand(1, 3, side, side))
        assert torch.allclose(network(grey).features, expected, atol=2e-4)


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file(torchvision.models.mobilenet_v3_small().state_dict(), path)
    with pytest.raises(ValueError, match="save its state dict"):
        build("mobilenet_v3_large", HEADS, weights=path)


def test_positions_of_patches_are_resampled_to_any_size():
    trunk = build("vit_b_16", HEADS).trunk
    side = torch.linspace(-1, 1, 14)
    slope = side[None, :].expand(14, 14).reshape(1, -1, 1).expand(-1, -1, 768)
    stored = trunk.net.encoder.pos_embedding
    with torch.no_grad():
        stored.copy_(torch.cat([torch.full((1, 1, 768), 7.0), slope], 1))
        small = trunk._positions(4, 6)
    assert small.shape == (1, 25, 768)
    assert torch.equal(small[:, 0], torch.full((1, 768), 7.0))
    rows = small[0, 1:, 0].reshape(4, 6)
    assert torch.allclose(rows[0], rows[3], atol=1e-5)
    assert (rows[0].diff() > 0).all()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"architecture": "vgg"}, "use one of slim"),
        ({"architecture": "slim", "feature_stride": 8}, "use 16 or 32"),
        ({"architecture": "vit_b_16", "feature_stride": 32}, "use feature_stride 16"),
        ({"architecture": "swin_v2_t", "feature_stride": 16}, "use feature_stride 32"),
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


def test_a_network_goes_on_from_an_earlier_run(tmp_path):
    heads = (Head("a", ("x", "y")), Head("b", ("z",), "sigmoid"))
    torch.manual_seed(1)
    first = build("slim", heads)
    save_file(first.state_dict(), tmp_path / "model.safetensors")
    changed = (heads[0], Head("b", ("z", "w"), "sigmoid"), Head("c", ("v",), "sigmoid"))
    torch.manual_seed(2)
    second = build("slim", changed, weights=tmp_path / "model.safetensors")
    for name, value in first.trunk.state_dict().items():
        assert torch.equal(second.trunk.state_dict()[name], value)
    assert torch.equal(second.heads["a"].weight, first.heads["a"].weight)
    assert second.heads["b"].weight.shape == (2, 192)  # another question: starts anew
    with pytest.raises(ValueError, match="another trunk"):
        build("resnet18", heads, weights=tmp_path / "model.safetensors")
