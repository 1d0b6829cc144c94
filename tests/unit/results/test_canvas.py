"""The page beside the same page drawn by Pillow alone."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from dicomnode.results.canvas import AMBER, GROUND, PANEL, RED, Box, Canvas, font

WIDTH, HEIGHT = 200, 120
SCALES = [Fraction(1), Fraction(256, 117), Fraction(2, 1)]


def pillow() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH, HEIGHT), GROUND)
    return image, ImageDraw.Draw(image)


@pytest.mark.parametrize(
    ("at", "anchor"),
    [
        ((10, 40), "la"),
        ((190, 40), "ra"),
        ((100, 60), "mm"),
        ((-20, -4), "la"),
        ((180, 112), "la"),
        ((300, 40), "la"),
    ],
)
@pytest.mark.parametrize("ground", [GROUND, PANEL])
def test_text_is_what_pillow_draws(at: tuple[int, int], anchor: str, ground) -> None:
    canvas, (image, drawing) = Canvas(WIDTH, HEIGHT), pillow()
    canvas.fill(Box(0, 0, WIDTH, HEIGHT), ground)
    drawing.rectangle((0, 0, WIDTH, HEIGHT), ground)
    canvas.text(at, "Pneumothorax, 91.0 %", 19, AMBER, anchor, ground)
    box = drawing.textbbox((0, 0), "Pneumothorax, 91.0 %", font(19), anchor)
    left, top, right, bottom = map(round, box)
    mask = Image.new("L", (right - left, bottom - top))
    words = "Pneumothorax, 91.0 %"
    ImageDraw.Draw(mask).text((-left, -top), words, 255, font(19), anchor)
    image.paste(AMBER, (at[0] + left, at[1] + top, at[0] + right, at[1] + bottom), mask)
    np.testing.assert_array_equal(canvas.pixels(), np.asarray(image))


@pytest.mark.parametrize("radius", [0, 6, 20])
def test_boxes_are_what_pillow_draws(radius: int) -> None:
    canvas, (image, drawing) = Canvas(WIDTH, HEIGHT), pillow()
    canvas.fill(Box(20, 10, 90, 60), PANEL, radius)
    canvas.outline(Box(60, 30, 120, 70), RED, radius)
    drawing.rounded_rectangle((20, 10, 109, 69), radius, fill=PANEL)
    drawing.rounded_rectangle((60, 30, 179, 99), radius, outline=RED, width=2)
    np.testing.assert_array_equal(canvas.pixels(), np.asarray(image))


@pytest.mark.parametrize("shift", [0.0, 0.4, 60.0, -50.0])
def test_outlines_are_what_pillow_draws(shift: float) -> None:
    points = [(20.5 + shift, 12.25), (150.75, 30.0 + shift), (90.0, 100.5)]
    canvas, (image, drawing) = Canvas(WIDTH, HEIGHT), pillow()
    canvas.closed_line(points, RED)
    drawing.line([*points, points[0]], RED, width=2, joint="curve")
    np.testing.assert_array_equal(canvas.pixels(), np.asarray(image))


@pytest.mark.parametrize("scale", SCALES)
@given(size=st.integers(-5, 3000), other=st.integers(0, 3000))
def test_units_become_whole_pixels(scale: Fraction, size: int, other: int) -> None:
    inside = Canvas(1, 1, scale).in_pixels(Box(size, other, other, size))
    assert (inside.left, inside.top) == (round(size * scale), round(other * scale))
    assert (inside.width, inside.height) == (ceil(other * scale), ceil(size * scale))


def test_a_finished_page_stays_as_it_is() -> None:
    canvas = Canvas(WIDTH, HEIGHT)
    with pytest.raises(ValueError, match="read-only"):
        canvas.pixels()[0] = 0
