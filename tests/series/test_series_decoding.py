"""Chunks of slices in decoder processes: frames, damage, deaths, and fair turns."""

from __future__ import annotations

import io
from threading import Thread

import numpy as np
import pytest
from pydicom import dcmread

from dicomnode.batching import Batcher
from dicomnode.decoder import CHUNK, DecodeLimits, DecoderPool, Undecodable, Wanted
from dicomnode.domain.series import Slice, SliceHeader, Volume
from dicomnode.predictor import BundlePredictor
from model import pixels
from model.phantom_ct import scan
from tests.contract.test_predictor import BUNDLE, film
from tests.series import ct

SOFT = (40.0, 400.0)


@pytest.fixture(scope="module")
def pool():
    with DecoderPool(DecodeLimits(), 1) as made:
        yield made


def windowed(values):
    share = np.clip((values - SOFT[0]) / SOFT[1] + 0.5, 0, 1)
    return np.rint(share * 255).astype(np.uint8)


def test_windows_are_those_of_hounsfield_units(pool, shared_data):
    paths = sorted((shared_data / "dicom" / "ct_chest_tcga").glob("*.dcm"))[:6]
    files = [io.BytesIO(path.read_bytes()) for path in paths]
    found = pool.planes(files, [Wanted((0,), (SOFT, (-600.0, 1500.0)))] * 6).result()
    for path, [planes] in zip(paths, found, strict=True):
        ds = dcmread(path)
        plain = pixels.modality_pixels(ds)
        assert planes.shape == (2, *plain.shape)
        padded = ds.pixel_array == ds.get("PixelPaddingValue", 1 << 20)
        expected = np.where(padded, 0, windowed(plain))
        assert np.abs(planes[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("name", "n_frames"),
    [
        ("multiframe_seg_pm/emri_small.dcm", 10),
        ("multiframe_seg_pm/emri_small_RLE.dcm", 10),
        ("multiframe_seg_pm/emri_small_jpeg_ls_lossless.dcm", 10),
        ("multiframe_seg_pm/emri_small_jpeg_2k_lossless.dcm", 10),
        ("multiframe_seg_pm/emri_small_big_endian.dcm", 10),
        ("multiframe_seg_pm/eCT_Supplemental.dcm", 2),
        ("transfer_syntax_small/MR_small.dcm", 1),
    ],
)
def test_frames_of_any_object_are_decoded_by_number(pool, shared_data, name, n_frames):
    path = shared_data / "dicom" / name
    wanted = tuple(range(n_frames))[::-2]
    with path.open("rb") as file:
        [headers] = pool.survey([file]).result()
        [found] = pool.planes([file], [Wanted(wanted, ())]).result()
    assert [one.frame for one in headers] == list(range(n_frames))
    assert headers[0].rows > 0
    ds = dcmread(path)
    for frame, planes in zip(wanted, found, strict=True):
        display = pixels.display_pixels(ds, frame)
        assert np.array_equal(planes[0], np.rint(display * 255).astype(np.uint8))


def test_a_deadly_slice_costs_itself(shared_data):
    path = next((shared_data / "dicom" / "ct_chest_tcga").glob("*.dcm"))
    good, deadly = path.read_bytes(), b"KILL" + bytes(200)
    with DecoderPool(DecodeLimits(), 1, "tests.series.deadly_child") as pool:
        files = [io.BytesIO(one) for one in (good, deadly, good)]
        first, second, third = pool.planes(files, [Wanted((0,), ())] * 3).result()
    assert isinstance(second, Undecodable)
    assert "crashed on this image (SIGSEGV)" in second.reason
    assert np.array_equal(first[0], third[0])


def test_a_radiograph_goes_before_the_rest_of_a_series(ct_bundle, pool):
    """It is asked for when a series of 300 has begun, and answered before its end."""
    batcher = Batcher(16, 0.005)
    ct_predictor = BundlePredictor(ct_bundle, decoder=pool, batcher=batcher)
    cxr = BundlePredictor(BUNDLE, decoder=pool, batcher=batcher)
    file = io.BytesIO()
    drawn = scan(3, lesion=True, n_slices=4, size=ct.PIXELS)
    ct.as_file(ct.slice_of(drawn, 2), file)
    opened, answered = list[int](), list[int]()
    slices = tuple(Slice(f"1.{n}", SliceHeader(), n) for n in range(300))

    def ask():
        pixels_ = np.linspace(0, 1, 200 * 160, dtype=np.float32).reshape(200, 160)
        cxr.predict([film(1, pixels_)])
        answered.append(len(opened))

    radiograph = Thread(target=ask)

    def open_slice(_uid):
        opened.append(1)
        if len(opened) == 2 * CHUNK:
            radiograph.start()
        return io.BytesIO(file.getvalue())

    volume = Volume("1.2", "series 1", slices, tuple(range(300)))
    ct_predictor.predict_series(volume, open_slice)
    n_slices = len(opened)
    radiograph.join()
    assert n_slices >= 300
    assert answered[0] < 300
    batcher.close()
