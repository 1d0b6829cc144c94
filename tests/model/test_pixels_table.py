"""Looking each stored value up gives what working each pixel out gives, to the bit."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from model.pixels import UnsupportedPixels, display, display_pixels, read
from tests.model.datasets import image, lut

HEADERS = {
    "no window": {},
    "padding": {"PixelPaddingValue": 0},
    "window": {"WindowCenter": 700, "WindowWidth": 900},
    "sigmoid": {
        "WindowCenter": 700,
        "WindowWidth": 900,
        "VOILUTFunction": "SIGMOID",
    },
    "rescale": {"RescaleSlope": 1.7, "RescaleIntercept": -1024},
    "VOI LUT": {"VOILUTSequence": lut(list(range(0, 4000, 2)), 50)},
    "inverse": {"PresentationLUTShape": "INVERSE", "WindowCenter": 9, "WindowWidth": 4},
    "not square": {"PixelSpacing": [0.2, 0.1]},
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(("bits", "stored"), [(16, 12), (8, 8), (16, 16)])
def test_the_table_changes_no_bit(name, bits, stored, monkeypatch):
    random = np.random.default_rng(len(name))
    values = random.integers(0, 1 << stored, (300, 270)).clip(0, 40_000)
    ds = image(values.tolist(), bits=bits, stored=stored, **HEADERS[name])
    looked_up = display_pixels(ds)
    monkeypatch.setattr(display, "is_tabled", lambda _stored: False)
    worked_out = display_pixels(ds)
    assert looked_up.tobytes() == worked_out.tobytes()


def test_an_image_that_is_all_padding_is_refused_either_way():
    ds = image(np.zeros((300, 270)).tolist(), bits=16, stored=12, PixelPaddingValue=0)
    with pytest.raises(UnsupportedPixels, match="every pixel is padding"):
        display_pixels(ds)


def deflated(n_bytes: int) -> io.BytesIO:
    """A real deflated file whose pixel data inflates to ``n_bytes`` of nothing."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.3"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.4"
    ds.add_new("PixelData", "OB", bytes(n_bytes))
    file = io.BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    return io.BytesIO(file.getvalue())


def test_a_deflate_bomb_is_refused_before_it_is_inflated(monkeypatch):
    bomb = deflated(3_000_000)
    assert len(bomb.getvalue()) < 10_000
    monkeypatch.setattr(zlib, "decompress", pytest.fail)
    with pytest.raises(UnsupportedPixels, match="inflates to more than the limit"):
        read(bomb, most_bytes=1_000_000)


def test_what_inflates_within_the_limit_is_read():
    assert len(read(deflated(3000), most_bytes=10_000).PixelData) == 3000
