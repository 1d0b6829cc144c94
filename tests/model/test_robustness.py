"""Worse images, attacks within their bound, ensembles and their uncertainty."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from model import bundle, robustness
from model.__main__ import main
from model.data import manifest
from model.ensemble import LOOKS, Look, combine, ensemble
from model.explain import Target
from model.network import Head
from model.robustness import Aim, attack, changes

SOFT, EACH = Head("view", ("a", "b")), Head("x", ("x",), "sigmoid")


def picture(rows=40, columns=32, seed=1):
    return np.random.default_rng(seed).random((rows, columns)).astype(np.float32)


@pytest.fixture(scope="module")
def loaded(packed):
    return bundle.load(packed[0])


def test_every_change_keeps_shape_and_range():
    image = picture()
    for name, change in changes().items():
        found = change(image)
        assert found.shape == image.shape, name
        assert found.dtype == np.float32
        assert 0 <= found.min() <= found.max() <= 1
        assert not np.array_equal(found, image), name


@pytest.mark.parametrize("steps", [1, 5])
def test_an_attack_stays_within_its_bound_and_works(loaded, steps):
    engine = loaded.parts.engine
    head = engine.network.layout[0]
    target = Target(head, 1)
    image = picture(32, 28)
    before = float(target(engine.network, engine.preset(image)[None])[0])
    most = 4 / 255
    for positive in (True, False):
        found = attack(engine, target, image, Aim(positive, most, steps))
        assert np.abs(found - image).max() <= most + 1e-6
        assert 0 <= found.min() <= found.max() <= 1
        after = float(target(engine.network, engine.preset(found)[None])[0])
        assert (after < before) == positive


def test_more_steps_do_not_attack_less(loaded):
    engine = loaded.parts.engine
    target = Target(engine.network.layout[0], 1)
    image = picture(32, 28, 3)
    values = [
        float(
            target(
                engine.network,
                engine.preset(attack(engine, target, image, Aim(True, 0.01, n)))[None],
            )[0]
        )
        for n in (1, 10)
    ]
    assert values[1] <= values[0] + 1e-3


def test_gradients_pass_through_the_preset(loaded):
    preset = loaded.parts.engine.preset
    pixels = torch.from_numpy(picture()).requires_grad_()
    preset.of(pixels)[0, 16, 16].backward()
    assert pixels.grad.abs().sum() > 0
    # Torch resizes here and Pillow in service: the same filter, rounded apart.
    assert torch.allclose(preset.of(pixels).detach(), preset(picture()), atol=1e-4)


def test_robustness_prints_every_change(packed, trained, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(robustness, "STRENGTHS", (2.0,))
    monkeypatch.setattr(robustness, "_PGD_STEPS", 2)
    rows = [
        replace(row, patient=f"{row.patient}-{copy}", source="site", split="val")
        for row in manifest.read(trained / "manifest.csv")
        for copy in range(3)
    ]
    listed = tmp_path / "manifest.csv"
    manifest.write(listed, rows)
    arguments = ["robustness", str(packed[0]), "--data", str(trained), "--manifest"]
    assert main([*arguments, str(listed)]) == 0
    said = capsys.readouterr().out
    for words in ("as it is", "JPEG, quality 20", "FGSM, 2/255", "PGD, 2/255"):
        assert words in said
    assert said.rstrip().endswith("Measured, not promised.")
    manifest.write(listed, rows[:10])
    assert main([*arguments, str(listed)]) == 1
    assert "give a larger manifest" in capsys.readouterr().err


def test_an_ensemble_of_one_is_the_network(loaded):
    engine, images = loaded.parts.engine, [picture(seed=s) for s in range(2)]
    found = ensemble([engine], images)
    for name, logits in engine.run(images).logits.items():
        assert torch.equal(found[name].logits, logits)
        assert float(found[name].mutual_information.abs().max()) < 1e-9


def test_ensemble_averages_logits_and_sees_disagreement():
    agree = torch.tensor([[[3.0, 0.0]], [[3.0, 0.0]]])
    differ = torch.tensor([[[30.0, 0.0]], [[0.0, 30.0]]])
    same, split = combine(SOFT, agree), combine(SOFT, differ)
    assert torch.equal(split.logits, torch.tensor([[15.0, 15.0]]))
    assert float(split.entropy[0]) == pytest.approx(math.log(2))
    assert float(split.mutual_information[0]) == pytest.approx(math.log(2))
    assert float(same.mutual_information[0]) == pytest.approx(0, abs=1e-9)
    p = 1 / (1 + math.exp(-3))
    expected = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert float(same.entropy[0]) == pytest.approx(expected)


def test_independent_classes_have_their_own_uncertainty():
    unsure = combine(EACH, torch.zeros(2, 3, 1))
    assert unsure.entropy.shape == (3, 1)
    assert float(unsure.entropy[0, 0]) == pytest.approx(math.log(2))
    assert float(unsure.mutual_information.max()) == 0


def test_looks_keep_shape_and_range_and_the_first_is_no_change():
    image = picture(50, 30)
    assert Look()(image) is image
    for look in LOOKS[1:]:
        found = look(image)
        assert found.shape == image.shape
        assert 0 <= found.min() <= found.max() <= 1
        assert not np.array_equal(found, image)


def test_a_quarter_turn_of_an_oblong_image_keeps_its_proportions():
    image = np.zeros((60, 40), np.float32)
    image[28:32, 10:30] = 1  # a bar of 20 columns in the middle
    turned = Look(degrees=90)(image)
    rows, columns = np.nonzero(turned > 0.5)
    assert 18 <= np.ptp(rows) + 1 <= 22
    assert 3 <= np.ptp(columns) + 1 <= 5


def test_ensembles_that_make_no_sense_are_refused(loaded, packed):
    engine = loaded.parts.engine
    with pytest.raises(ValueError, match="give one of each"):
        ensemble([], [picture()])
    other = bundle.load(packed[0]).parts.engine
    other.network.layout = (SOFT,)
    with pytest.raises(ValueError, match="combine those of one recipe"):
        ensemble([engine, other], [picture()])
