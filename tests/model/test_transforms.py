"""Presets: letterbox geometry there and back, polarity, determinism."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.transforms import EvalPreset, TrainPreset, letterbox_box


@given(rows=st.integers(1, 5000), columns=st.integers(1, 5000))
def test_box_lies_on_the_canvas_and_fills_one_side(rows, columns):
    box = letterbox_box(rows, columns, 128)
    assert max(box.rows, box.columns) == 128
    assert 0 <= box.top <= 128 - box.rows
    assert 0 <= box.left <= 128 - box.columns


def test_padding_and_border_are_zero_and_the_rest_standardised():
    image = np.random.default_rng(1).random((200, 100), np.float32)
    canvas = EvalPreset(64, border=0.125)(image)
    assert canvas.shape == (1, 64, 64)
    inner = canvas[0, 8:56, 20:44]
    assert abs(float(inner.mean())) < 1e-4
    assert float(inner.std(correction=0)) == pytest.approx(1, abs=1e-3)
    outside = canvas.clone()
    outside[0, 8:56, 20:44] = 0
    assert not outside.any()


def test_constant_image_is_zero_not_noise():
    canvas = EvalPreset(32)(np.full((40, 30), 0.7, np.float32))
    assert float(canvas.abs().max()) < 1e-3


def test_brightness_and_contrast_do_not_matter_but_polarity_does():
    image = np.random.default_rng(2).random((50, 60), np.float32)
    preset = EvalPreset(32)
    plain = preset(image)
    assert torch.allclose(plain, preset(image * 0.5 + 0.25), atol=1e-4)
    assert torch.allclose(plain, -preset(1 - image), atol=1e-4)


@pytest.mark.parametrize("shape", [(100, 50), (50, 100), (64, 64), (33, 97)])
def test_a_map_returns_to_where_the_image_was(shape):
    preset = EvalPreset(64)
    image = np.zeros(shape, np.float32)
    r, c = shape[0] // 4, 3 * shape[1] // 4
    image[r - 3 : r + 4, c - 3 : c + 4] = 1
    back = preset.to_source(preset(image)[0], preset.box(image))
    assert back.shape == preset.box(image)[2:]
    row, column = np.unravel_index(back.argmax(), back.shape)
    assert row / back.shape[0] == pytest.approx(r / shape[0], abs=0.06)
    assert column / back.shape[1] == pytest.approx(c / shape[1], abs=0.06)


def test_training_draws_are_the_generators_alone():
    images = torch.randint(0, 255, (6, 40, 40), dtype=torch.uint8)
    turns, inverted = torch.arange(6) % 4, torch.arange(6) % 2 == 0
    preset = TrainPreset(size=32)

    def run(seed):
        return preset(images, turns, inverted, torch.Generator().manual_seed(seed))

    assert run(1).shape == (6, 1, 32, 32)
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.isfinite(run(3)).all()


def test_quarter_turns_are_clockwise_in_training_as_in_the_labels():
    still = TrainPreset(
        size=40,
        degrees=0,
        scale=0,
        shift=0,
        aspect=0,
        gamma=0,
        window=0,
        equalise=0,
        markers=0,
        collimation=0,
        noise=0,
        jpeg=0,
        resolution=0,
        blank=0,
    )
    image = torch.zeros(1, 40, 40, dtype=torch.uint8)
    image[0, 2:8, 10:30] = 255  # bright bar at the top
    random = torch.Generator().manual_seed(1)
    turned = still(image, torch.tensor([1]), torch.tensor([False]), random)[0, 0]
    assert turned[10:30, 32:38].mean() > 1  # top goes to the right
    expected = EvalPreset(40)(np.rot90(image[0].numpy() / np.float32(255), -1))[0]
    assert torch.allclose(turned, expected, atol=1e-4)


def test_preset_survives_storing_and_refuses_strangers():
    preset = EvalPreset(96, 0.09)
    assert EvalPreset.from_dict(preset.to_dict()) == preset
    with pytest.raises(ValueError, match="install a bundle"):
        EvalPreset.from_dict({"size": 96})
    with pytest.raises(ValueError, match="newer program"):
        EvalPreset(version=99)
