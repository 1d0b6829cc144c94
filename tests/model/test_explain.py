"""Maps against captum, and the identities and axioms they must keep."""

from __future__ import annotations

import pytest
import torch
from captum.attr import IntegratedGradients, LayerGradCam, Occlusion

from model import explain
from model.explain import Target
from model.network import Head, build

HEADS = (Head("view", ("a", "b", "c")), Head("inverted", ("inverted",), "sigmoid"))
TARGETS = [Target(HEADS[0], 1), Target(HEADS[1], 0)]


@pytest.fixture(scope="module")
def network():
    """Random weights, as of a bundle: in evaluation mode, without gradients."""
    torch.manual_seed(3)
    made = build("slim", HEADS).eval().requires_grad_(requires_grad=False)
    for layer in made.modules():  # blocks start as their shortcut: make them work
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
    made.heads["inverted"].weight.neg_()  # else nothing speaks for it
    return made


@pytest.fixture(scope="module")
def image():
    torch.manual_seed(4)
    return torch.randn(1, 1, 48, 48)


@pytest.mark.parametrize("target", TARGETS)
def test_cam_is_hires_cam_is_grad_cam_up_to_scale(network, image, target):
    features = network(image).features[0]
    weight = network.heads[target.head.name].weight
    cam = explain.class_activation(
        features, explain.direction(target.head, weight, target.index)
    )
    assert cam.any()
    for method in (explain.grad_cam, explain.hires_cam):
        found = explain.scaled(method(network, image, target))[0]
        assert torch.allclose(found, cam, atol=1e-5)


def test_deeper_in_the_network_the_methods_differ(network, image):
    layer = network.trunk[4]
    first = explain.scaled(explain.grad_cam(network, image, TARGETS[0], layer))
    second = explain.scaled(explain.hires_cam(network, image, TARGETS[0], layer))
    assert first.shape == second.shape == (1, 12, 12)
    assert not torch.allclose(first, second, atol=1e-2)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("layer", [None, 4])
def test_grad_cam_equals_captum(network, image, target, layer):
    at = network.trunk if layer is None else network.trunk[layer]
    oracle = LayerGradCam(lambda x: target(network, x), at)
    theirs = oracle.attribute(image.clone().requires_grad_(), relu_attributions=True)
    ours = explain.grad_cam(network, image, target, at)
    assert torch.allclose(ours, theirs[:, 0], atol=1e-6)


def test_integrated_gradients_equal_captum_and_are_complete(network, image):
    target = TARGETS[0]
    ours = explain.integrated_gradients(network, image, target, steps=50)
    oracle = IntegratedGradients(lambda x: target(network, x))
    theirs = oracle.attribute(image, n_steps=50, method="gausslegendre")
    assert torch.allclose(ours, theirs[0, 0], atol=1e-5)
    with torch.no_grad():
        both = target(network, torch.cat([image, torch.zeros_like(image)]))
    fine = explain.integrated_gradients(network, image, target, steps=150)
    assert float(fine.sum()) == pytest.approx(float(both[0] - both[1]), rel=1e-2)


def test_occlusion_equals_captum(network, image):
    target = TARGETS[1]
    ours = explain.occlusion(network, image, target, window=8, stride=4)
    oracle = Occlusion(lambda x: target(network, x))
    theirs = oracle.attribute(
        image, sliding_window_shapes=(1, 8, 8), strides=(1, 4, 4), baselines=0
    )
    assert torch.allclose(ours, theirs[0, 0], atol=1e-4)


def test_occlusion_that_leaves_gaps_is_refused(network, image):
    with pytest.raises(ValueError, match="change them"):
        explain.occlusion(network, image, TARGETS[0], window=4, stride=8)


def test_grad_cam_plus_plus_by_hand(network, image):
    """The same gradient everywhere on the map gives alpha a closed form."""
    target = TARGETS[1]
    features = network(image).features
    n = features.shape[2] * features.shape[3]
    gradient = (network.heads["inverted"].weight[0] / n)[None, :, None, None]
    total = features.sum((2, 3), keepdim=True)
    alpha = 1 / (2 + total * gradient)
    weight = n * alpha * gradient.clamp(min=0)
    expected = (weight * features).sum(1).clamp(min=0)
    found = explain.grad_cam_plus_plus(network, image, target)
    assert torch.allclose(found, expected, atol=1e-5)
