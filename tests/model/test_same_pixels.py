"""What training and evaluation read is what service reads, to the last bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dicomnode.decoder import Decoded, DecodeLimits, DecoderPool, ImageWanted
from dicomnode.picture import fit
from dicomnode.results import VIEWS
from model import bundle, preparation, quality
from model.data.dataset import read_image
from model.pixels import UnsupportedPixels

SHIPPED = Path(bundle.__file__).parents[1] / "bundles" / "cxr-qc"
MOST, LEAST = 100, 40
FOLDERS = ("cr_dx", "cxr_wrapped_derived", "lut_presentation", "transfer_syntax_small")


def test_training_and_service_see_the_same_pixels_of_real_files(shared_data):
    preset = bundle.load(SHIPPED).parts.engine.preset
    wanted = ImageWanted((), preset.preparation, measured=True, views=VIEWS)
    compared = 0
    files = [
        p for one in FOLDERS for p in sorted((shared_data / "dicom" / one).iterdir())
    ]
    with DecoderPool(DecodeLimits(), 1) as decoder:
        for path in files:
            if compared == MOST or path.stat().st_size > 4_000_000:
                continue
            try:
                trained = read_image(path)
            except UnsupportedPixels:
                continue
            with path.open("rb") as file:
                served = decoder.decode([file])[0].result()
                [prepared] = decoder.decode([file], wanted=wanted)
                check_prepared(prepared.result(), preset(trained), trained)
            assert isinstance(served, Decoded), path.name
            assert torch.equal(preset(trained), preset(served.display)), path.name
            compared += 1
    assert compared >= LEAST


def check_prepared(found, canvas, display):
    """What a decoder process prepares is what training's evaluation would."""
    assert torch.equal(torch.from_numpy(found.given), canvas)
    assert list(found.statistics) == preparation.statistics(display)
    assert found.measures == quality.measure(display)
    assert found.eight_bit.shape == display.shape
    assert tuple(found.views) == VIEWS
    for box, view in found.views.items():
        assert np.array_equal(view, fit(found.eight_bit, box))
