"""Phantoms: the same seed gives the same picture, and it is one of a chest."""

from __future__ import annotations

import numpy as np
import pytest

from model.phantom import chest


def test_same_seed_same_pixels_and_other_seed_others():
    first = chest(3, view="PA", rows=160, columns=140)
    assert np.array_equal(first, chest(3, view="PA", rows=160, columns=140))
    assert not np.array_equal(first, chest(4, view="PA", rows=160, columns=140))


@pytest.mark.parametrize("view", ["PA", "AP"])
def test_twelve_bits_bone_bright_lung_dark(view):
    image = chest(5, view=view, rows=256, columns=224).astype(float) / 4095
    assert image.shape == (256, 224)
    assert image.min() == 0
    assert 0.9 < image.max() <= 1
    spine = image[100:160, 108:116].mean()
    lungs = image[90:120, 55:75].mean() + image[90:120, 149:169].mean()
    abdomen = image[225:250, 60:160].mean()
    assert spine > lungs / 2 + 0.2
    assert abdomen > lungs / 2 + 0.2
    assert image[:12, :30].mean() < 0.1  # air beside the neck


def test_heart_lies_to_the_right_of_the_picture_and_is_wider_in_ap():
    def heart(view):
        rows = [chest(s, view=view, rows=128, columns=112)[70:78] for s in range(6)]
        return np.mean(rows, axis=(0, 1))

    pa, ap = heart("PA"), heart("AP")
    assert pa[60:75].mean() > pa[37:52].mean()
    assert (ap > 2000).sum() > (pa > 2000).sum()


@pytest.mark.parametrize(
    ("view", "rows", "hint"),
    [("LL", 128, "use 'PA' or 'AP'"), ("PA", 8, "ask for more")],
)
def test_refuses_what_it_cannot_draw(view, rows, hint):
    with pytest.raises(ValueError, match=hint):
        chest(1, view=view, rows=rows, columns=128)
