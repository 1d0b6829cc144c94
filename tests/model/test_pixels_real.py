"""Pixels of real files: every one is shown or refused in words, none crashes."""

from __future__ import annotations

import csv
import logging

import numpy as np
import pytest
from pydicom.pixels.processing import apply_modality_lut

from model.pixels import UnsupportedPixels, display_pixels, modality_pixels, read

# What the manifest calls decodable and we refuse, each for a reason.
REFUSED = {
    "transfer_syntax_small/JPGExtended.dcm",  # 12-bit JPEG Extended: no free codec
    "transfer_syntax_same_ct/CTImage.dcm_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm",
    "malformed/fuzz_cat04_pixel_data/TC0303_bits_highbit_gt_ba.dcm",
    "malformed/fuzz_cat04_pixel_data/TC0329_rgb_spp1.dcm",
}


@pytest.fixture(autouse=True)
def quiet(caplog):
    """The malformed files make pydicom talk."""
    caplog.set_level(logging.CRITICAL, "pydicom")


@pytest.fixture(scope="module")
def listed(shared_data):
    with (shared_data / "dicom" / "MANIFEST.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def outcome(path):
    try:
        return display_pixels(read(path))
    except UnsupportedPixels as error:
        return str(error)


def test_every_file_is_shown_or_refused_in_words(shared_data, listed):
    refused = set()
    for line in listed:
        shown = outcome(shared_data / "dicom" / line["file"])
        if isinstance(shown, str):
            assert ":" in shown, line["file"]
            refused.add(line["file"])
            continue
        assert shown.dtype == np.float32, line["file"]
        assert np.isfinite(shown).all(), line["file"]
        assert 0 <= shown.min() <= shown.max() <= 1, line["file"]
    decodable = {x["file"] for x in listed if x["decode"].startswith("ok")}
    assert refused & decodable == REFUSED


def test_same_ct_in_lossless_transfer_syntaxes_is_bit_equal(shared_data):
    folder = shared_data / "dicom" / "transfer_syntax_same_ct"
    lossy = ("4.50", "4.51", "4.53", "4.55", "4.81", "4.91")
    planes = {
        path.name: modality_pixels(read(path))
        for path in sorted(folder.glob("*.dcm"))
        if not any(path.stem.endswith(kind) for kind in lossy)
    }
    assert len(planes) >= 5
    first = next(iter(planes.values()))
    for name, plane in planes.items():
        assert np.array_equal(plane, first), name


def test_modality_values_equal_pydicoms(shared_data):
    for path in sorted((shared_data / "dicom" / "ct_chest_tcga").glob("*.dcm"))[:5]:
        ds = read(path)
        expected = apply_modality_lut(ds.pixel_array, ds)
        assert np.array_equal(modality_pixels(ds), expected.astype(np.float32))
