"""Chunks of slices in decoder processes: frames, damage, deaths, and fair turns."""

from __future__ import annotations

import io
from threading import Thread

import numpy as np
import pytest
from pydicom import dcmread

from dicomnode.batching import Batcher
from dicomnode.decoder import (
    CHUNK,
    DecodeLimits,
    DecoderPool,
    InThisProcess,
    Undecodable,
    Wanted,
)
from dicomnode.domain.job import Outcome
from dicomnode.domain.series import Slice, SliceHeader, Volume
from dicomnode.predictor import BundlePredictor
from model import pixels
from model.phantom_ct import scan
from tests.contract.test_predictor import BUNDLE, film
from tests.series import ct
from tests.series.test_series_pipeline import Site

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


def test_the_header_of_one_object_is_never_taken_for_another(pool):
    """Frames are asked for in parts, and the header of the last object is kept."""
    drawn = scan(3, lesion=True, n_slices=6, size=ct.PIXELS)
    one, other = ct.enhanced(drawn), ct.enhanced(drawn)
    for frame in other.PerFrameFunctionalGroupsSequence:
        [rescale] = frame.PixelValueTransformationSequence
        rescale.RescaleIntercept = int(rescale.RescaleIntercept) - 100
    files = [io.BytesIO(), io.BytesIO()]
    for ds, file in zip((one, other), files, strict=True):
        ct.as_file(ds, file)
    assert len({len(file.getvalue()) for file in files}) == 1
    for first in (0, 2, 4):
        wanted = [Wanted((first, first + 1), (SOFT,))] * 2
        found = pool.planes(files, wanted).result()
        for offset, shown in zip((0, -100), found, strict=True):
            for frame, planes in zip((first, first + 1), shown, strict=True):
                values = drawn.hounsfield[5 - frame].astype(np.float32) + offset
                assert np.abs(planes[0].astype(int) - windowed(values)).max() <= 1


class Counting(InThisProcess):
    """Counts the messages that a decoder process would get."""

    def __init__(self):
        super().__init__()
        self.surveys, self.frames = 0, []

    def survey(self, files, *rest):
        self.surveys += 1
        return super().survey(files, *rest)

    def planes(self, files, wanted, *rest):
        self.frames.append([frame for one in wanted for frame in one.frames])
        return super().planes(files, wanted, *rest)


def test_300_frames_are_one_survey_and_a_message_for_16_of_them(ct_bundle, tmp_path):
    found = scan(3, lesion=True, n_slices=300, size=32, spacing_mm=1)
    ct.write(ct.enhanced(found), tmp_path / "enhanced.dcm")
    decoder = Counting()
    analysis = Site(ct_bundle, decoder).analyse(tmp_path)
    assert analysis.outcome is Outcome.ANALYSED, analysis.reason
    assert decoder.surveys == 1
    *chunks, shown = decoder.frames  # at last those that are shown, once more
    assert len(chunks) == -(-300 // CHUNK)
    assert sorted(frame for some in chunks for frame in some) == list(range(300))
    assert len(shown) == 1


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
