"""Losses by hand: each formula on one or two images, masks and weights for all."""

from __future__ import annotations

import math

import pytest
import torch

from model.network import Head, build
from model.train import RecipeError
from model.train.config import parse_recipe
from model.train.losses import LOSSES, masked_loss
from model.train.optimisers import optimiser
from tests.model.stripes import recipe

SOFT = Head("view", ("pa", "ap"))
YES = Head("x", ("x",), "sigmoid")
OF_SOFTMAX = ("cross_entropy", "softmax_focal", "softmax_squared")


def one(head, logit, target, name):
    """Loss of one image of weight 1."""
    logits, targets = torch.tensor([logit]), torch.tensor([target])
    return float(masked_loss(head, logits, targets, torch.ones(1), 0.0, name))


@pytest.mark.parametrize("target", [0.0, 0.7, 1.0])
def test_sigmoid_losses_by_hand(target):
    p = 1 / (1 + math.exp(-0.4))
    bce = -target * math.log(p) - (1 - target) * math.log(1 - p)
    shifted = p - 0.05
    asymmetric = -target * (1 - p) * math.log(p)
    asymmetric -= (1 - target) * shifted**4 * math.log(1 - shifted)
    expected = {
        "binary_cross_entropy": bce,
        "focal": abs(target - p) ** 2 * bce,
        "squared": (p - target) ** 2,
        "asymmetric": asymmetric,
    }
    for name, value in expected.items():
        assert one(YES, [0.4], [target], name) == pytest.approx(value, rel=1e-5), name


def test_softmax_losses_by_hand():
    p = 1 / (1 + math.exp(-1.0))
    expected = {
        "cross_entropy": -math.log(p),
        "softmax_focal": -((1 - p) ** 2) * math.log(p),
        "softmax_squared": 2 * (1 - p) ** 2,
    }
    for name, value in expected.items():
        assert one(SOFT, [1.0, 0.0], [1.0, 0.0], name) == pytest.approx(value, rel=1e-5)


def test_an_easy_negative_counts_nothing_in_the_asymmetric_loss():
    assert one(YES, [-4.0], [0.0], "asymmetric") == 0
    assert one(YES, [-4.0], [1.0], "asymmetric") > 3


def test_auc_margin_by_hand():
    scores = torch.tensor([0.9, 0.7, 0.4, 0.2])
    logits = scores.logit()[:, None]
    target = torch.tensor([1.0, 1.0, 0.0, 0.0])[:, None]
    loss = masked_loss(YES, logits, target, torch.ones(4), 0.0, "auc_margin")
    expected = 0.01 + 0.01 + (1 + 0.3 - 0.8) ** 2
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_auc_margin_is_the_saddle_point_of_the_min_max_objective():
    scores = torch.tensor([0.9, 0.7, 0.4, 0.2, 0.5], dtype=torch.float64)
    positive = torch.tensor([1.0, 1.0, 0.0, 0.0, 0.0], dtype=torch.float64)
    loss = masked_loss(
        YES,
        scores.logit()[:, None],
        positive[:, None],
        torch.ones(5),
        0.0,
        "auc_margin",
    )

    def objective(a, b, alpha):
        first = ((scores - a) ** 2)[positive == 1].mean()
        second = ((scores - b) ** 2)[positive == 0].mean()
        gap = 1 + scores[positive == 0].mean() - scores[positive == 1].mean()
        return float(first + second + 2 * alpha * gap - alpha**2)

    grid = torch.linspace(0, 1, 201).tolist()
    alphas = torch.linspace(0, 2, 401).tolist()
    inner = min(objective(a, 0.0, 0.0) for a in grid)
    inner += min(objective(0.0, b, 0.0) for b in grid) - objective(0.0, 0.0, 0.0)
    outer = max(objective(0.0, 0.0, alpha) for alpha in alphas)
    saddle = inner + outer - objective(0.0, 0.0, 0.0)
    assert float(loss) == pytest.approx(saddle, abs=1e-4)


@pytest.mark.parametrize("name", [*LOSSES, "auc_margin"])
def test_unknown_images_give_no_gradient_and_weights_count(name):
    head = SOFT if name in OF_SOFTMAX else Head("x", ("a", "b"), "sigmoid")
    torch.manual_seed(1)
    logits = torch.randn(6, 2, requires_grad=True)
    first = torch.tensor([1.0, 0, 1, 0, 1, 0])
    target = torch.stack([first, 1 - first], 1)
    target[4] = float("nan")
    weight = torch.tensor([1.0, 2, 1, 2, 1, 0])
    loss = masked_loss(head, logits, target, weight, 0.0, name)
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[4:].any()
    assert (logits.grad[:4].abs().sum(1) > 0).all()
    repeated = [0, 1, 1, 2, 3, 3]
    twice = masked_loss(
        head, logits[repeated], target[repeated], torch.ones(6), 0.0, name
    )
    assert float(loss.detach()) == pytest.approx(float(twice.detach()), rel=1e-5)


@pytest.mark.parametrize("name", [*LOSSES, "auc_margin"])
def test_nothing_known_is_a_loss_of_zero(name):
    head = SOFT if name in OF_SOFTMAX else Head("x", ("a", "b"), "sigmoid")
    unknown = torch.full((3, 2), float("nan"))
    value = masked_loss(head, torch.randn(3, 2), unknown, torch.ones(3), 0.1, name)
    assert float(value) == 0


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"head": {"loss": "hinge"}}, "use one of cross_entropy"),
        ({"head": {"loss": "focal"}}, "not for softmax heads: use one of"),
        ({"head": {"made": "flip"}}, "use one of"),
        ({"name": "lion"}, "use one of"),
        ({"precision": "float16"}, "use one of"),
        ({"schedule": "step"}, "use one of"),
        ({"batch": 9, "chunks": 2}, "multiple of chunks"),
        ({"nesterov": 1}, "nesterov must be bool"),
    ],
)
def test_recipes_name_what_there_is(change, hint):
    with pytest.raises(RecipeError, match=hint):
        recipe(**change)


def test_train_and_eval_must_normalise_alike():
    heads = [{"name": "x", "classes": ["x"], "activation": "sigmoid"}]
    with pytest.raises(RecipeError, match="make them equal"):
        parse_recipe(
            {"name": "x", "heads": heads, "train_preset": {"normalise": "clahe"}}
        )


def test_decay_is_of_kernels_only_and_settings_arrive():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    settings = recipe(
        name="sgd", momentum=0.8, nesterov=True, weight_decay=0.3
    ).optimiser
    made = optimiser(model, settings)
    assert [group["weight_decay"] for group in made.param_groups] == [0.3, 0.0]
    assert made.param_groups[0]["nesterov"] is True
    assert made.param_groups[0]["momentum"] == 0.8
    kinds = {
        name: type(optimiser(model, recipe(name=name).optimiser)).__name__
        for name in ("sgd", "adam", "adamw")
    }
    assert kinds == {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}


TREE = Head("x", ("opacity", "edema", "pneumonia"), "sigmoid", (-1, 0, 0))


def hierarchical(target, logits):
    return float(
        masked_loss(
            TREE,
            torch.tensor([logits]),
            torch.tensor([target]),
            torch.ones(1),
            0.0,
            "hierarchical",
        )
    )


def test_a_class_is_learned_where_its_parent_is_true():
    def bce(logit, t):
        return math.log(1 + math.exp(-logit if t else logit))

    # no opacity: what is below says nothing
    assert hierarchical([0.0, 0.0, 0.0], [1.0, 3.0, -3.0]) == pytest.approx(bce(1.0, 0))
    every = hierarchical([1.0, 1.0, 0.0], [1.0, 3.0, -3.0])
    assert every == pytest.approx((bce(1, 1) + bce(3, 1) + bce(-3, 0)) / 3)
    unknown = float("nan")  # edema is an opacity, so the opacity is true for edema
    half = hierarchical([unknown, 1.0, 0.0], [1.0, 3.0, -3.0])
    assert half == pytest.approx(bce(3, 1))
    # soft: an opacity of 0.8 of which 0.2 is edema weighs the conditional target 0.25
    soft = hierarchical([0.8, 0.2, unknown], [0.0, 0.0, 0.0])
    assert soft == pytest.approx(math.log(2))


def test_what_comes_out_is_the_product_along_the_path():
    network = build("slim", [TREE])
    images = torch.randn(2, 1, 64, 64)
    raw = network.train()(images).logits["x"].detach()
    with torch.no_grad():
        network.load_state_dict(network.state_dict())
        given = network.eval()(images)
    alone = network.heads["x"](given.pooled).sigmoid()
    p = given.logits["x"].sigmoid()
    assert raw.shape == p.shape
    assert torch.allclose(p[:, 0], alone[:, 0], atol=1e-6)
    assert torch.allclose(p[:, 1], alone[:, 0] * alone[:, 1], atol=1e-6)
    assert bool((p[:, 1:] <= p[:, :1]).all())


@pytest.mark.parametrize(
    ("activation", "parents", "hint"),
    [
        ("softmax", (-1, 0, 0), "only sigmoid"),
        ("sigmoid", (-1, 0), "-1"),
        ("sigmoid", (-1, 0, 3), "-1"),
        ("sigmoid", (1, 0, 0), "its own ancestor"),
    ],
)
def test_parents_that_cannot_be(activation, parents, hint):
    with pytest.raises(ValueError, match=hint):
        Head("x", ("a", "b", "c"), activation, parents)
