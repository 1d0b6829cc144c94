"""Presets: letterbox geometry there and back, polarity, determinism."""

from __future__ import annotations

import importlib.util
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from model.preparation.grey import clahe, equalise
from model.transforms import (
    NORMALISATIONS,
    EvalPreset,
    TrainPreset,
    letterbox_box,
    normalised,
)
from model.transforms.draws import Draws
from model.transforms.jpeg import through_jpeg
from tests.model.stripes import STILL


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
    # The spot is a plateau: its middle, not whichever pixel rounds up.
    row, column = np.argwhere(back > back.max() - 1e-4).mean(0)
    assert row / back.shape[0] == pytest.approx(r / shape[0], abs=0.06)
    assert column / back.shape[1] == pytest.approx(c / shape[1], abs=0.06)


@pytest.mark.parametrize(("size", "cells"), [(128, 8), (120, 8), (112, 7), (100, 7)])
def test_a_map_that_reaches_beyond_the_canvas_is_put_where_it_belongs(size, cells):
    """Halving 120 four times gives 8 pixels of 16, and the last is half outside."""
    preset = EvalPreset(size)
    plane = torch.zeros(cells, cells)
    plane[5, 2] = 1
    back = preset.to_source(plane, preset.box(np.zeros((size, size), np.float32)))
    row, column = np.argwhere(back > back.max() - 1e-4).mean(0)
    assert (row, column) == pytest.approx((5.5 * 16, 2.5 * 16), abs=1.5)


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
    still = TrainPreset(size=40, **STILL)
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


def pictures():
    """Noise, a narrow range, a ramp, two values, one value; of several shapes."""
    random = np.random.default_rng(4)
    for shape in ((160, 160), (64, 96), (75, 113), (40, 41)):
        yield random.integers(0, 256, shape).astype(np.uint8)
        yield random.normal(110, 6, shape).clip(0, 255).astype(np.uint8)
        ramp = np.add.outer(np.arange(shape[0]), np.arange(shape[1])) % 256
        yield ramp.astype(np.uint8)
        yield (random.integers(0, 2, shape) * 255).astype(np.uint8)
        yield np.full(shape, 90, np.uint8)


@pytest.mark.skipif(importlib.util.find_spec("cv2") is None, reason="extra opencv")
def test_equalisations_are_those_of_opencv_to_the_bit():
    import cv2

    for image in pictures():
        assert np.array_equal(equalise(image), cv2.equalizeHist(image))
        theirs = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(image)
        assert np.array_equal(clahe(image), theirs)


def test_equalisation_by_hand():
    image = np.array([[10, 10, 20], [20, 20, 30]], np.uint8)
    # the darkest value is 0; 20 has 3 of the 4 others at or below it, 30 all 4
    assert equalise(image).tolist() == [[0, 0, 191], [191, 191, 255]]
    flat = np.full((4, 4), 9, np.uint8)
    assert np.array_equal(equalise(flat), flat)


def test_clahe_raises_local_contrast_but_not_that_of_nothing():
    random = np.random.default_rng(1)
    left = random.normal(60, 4, (128, 64))
    right = random.normal(190, 4, (128, 64))
    image = np.hstack([left, right]).clip(0, 255).astype(np.uint8)
    done = clahe(image).astype(float)
    assert done[:, :48].std() > 1.5 * image[:, :48].std()
    assert done[:, 80:].std() > 1.5 * image[:, 80:].std()
    assert done[:, 80:].mean() > done[:, :48].mean()
    assert clahe(np.full((64, 64), 77, np.uint8)).std() == 0


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_training_and_service_see_the_same_pixels(name):
    """The bit test of the presets: training without variation is service."""
    random = np.random.default_rng(2)
    eight_bit = random.integers(0, 256, (40, 40)).astype(np.uint8)
    served = EvalPreset(40, normalise=name)(eight_bit / np.float32(255))
    still = TrainPreset(size=40, normalise=name, **STILL)
    images = torch.from_numpy(eight_bit[None])
    no = torch.zeros(1, dtype=torch.int64)
    trained = still(images, no, no.bool(), torch.Generator().manual_seed(1))[0]
    assert torch.allclose(trained, served, atol=1e-5)


def test_the_normalisation_is_stored_unless_it_is_the_usual_one():
    assert EvalPreset(96, 0.09).to_dict() == {"size": 96, "border": 0.09, "version": 1}
    preset = EvalPreset(96, 0.09, normalise="clahe")
    assert preset.to_dict()["normalise"] == "clahe"
    assert EvalPreset.from_dict(preset.to_dict()) == preset
    with pytest.raises(ValueError, match="use one of standardise, equalise, clahe"):
        EvalPreset(96, normalise="stretch")
    image = np.random.default_rng(1).random((20, 20), np.float32)
    assert normalised(image, "standardise") is image
    assert not np.array_equal(normalised(image, "equalise"), image)


def test_letters_and_blanked_corners_touch_the_edge_only():
    grey = torch.full((64, 64, 64), 128, dtype=torch.uint8)
    grey[:, 20:44, 20:44] = torch.randint(0, 255, (64, 24, 24)).byte()
    no = torch.zeros(64, dtype=torch.int64)

    def run(**more):
        preset = TrainPreset(size=64, **(STILL | more))
        return preset(grey, no, no.bool(), torch.Generator().manual_seed(3))

    lettered = run(letters=1.0) != run()
    changed = lettered.flatten(1).any(1)
    assert changed.float().mean() > 0.9
    blanked = run(corners=1.0, corners_most=0.3) == 0
    assert blanked[:, 0, :5, :5].any()
    assert not blanked[:, 0, 20:44, :].all(0).any()
    assert not blanked[:, 0, 24:40, 24:40].flatten(1).all(1).any()


@pytest.mark.parametrize("quality", [35, 60, 94])
def test_jpeg_of_a_batch_is_that_of_pillow_to_rounding(quality):
    random = np.random.default_rng(5)
    small = torch.from_numpy(random.random((2, 1, 12, 11), np.float32))
    smooth = torch.nn.functional.interpolate(small, size=(52, 45), mode="bilinear")
    planes = smooth[:, 0]  # not whole blocks of 8
    found = through_jpeg(planes, torch.tensor([quality, 100])) * 255
    for plane, ours, its in zip(planes, found, (quality, 100), strict=True):
        stream = io.BytesIO()
        eight_bit = (plane * 255).to(torch.uint8).numpy()
        Image.fromarray(eight_bit).save(stream, "JPEG", quality=its)
        with Image.open(stream) as image:
            theirs = np.asarray(image, np.float32)
        assert ours.shape == theirs.shape
        assert np.abs(ours.numpy() - theirs).mean() < 0.5
    lost = (found[0] - (planes[0] * 255).floor()).abs().mean()
    kept = (found[1] - (planes[1] * 255).floor()).abs().mean()
    assert lost > kept


def test_more_draws_than_there_are_is_said():
    draws = Draws(2, torch.Generator().manual_seed(1), torch.device("cpu"))
    draws.unit(64)
    with pytest.raises(ValueError, match="raise _COLUMNS"):
        draws.unit()


@pytest.mark.parametrize("normalise", ["standardise", "equalise", "clahe", "fixed"])
@pytest.mark.parametrize("shape", [(400, 350), (3, 100, 90), (17, 40)])
def test_what_gradients_pass_through_is_what_service_prepares(normalise, shape):
    image = np.random.default_rng(5).random(shape, np.float32)
    preset = EvalPreset(64, border=0.1, normalise=normalise)
    planes = image if image.ndim > 2 else image[None]
    grey = np.stack([normalised(one, normalise) for one in planes])
    differentiable = preset.of(torch.from_numpy(grey))
    assert torch.allclose(differentiable, preset(image), atol=1e-4)
