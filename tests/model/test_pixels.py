"""Pixels against cases worked by hand, one for each rule of PS3.3."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pydicom.dataset import Dataset
from pydicom.pixels import apply_windowing
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian

from model.pixels import UnsupportedPixels, display_pixels, modality_pixels, read
from tests.model.datasets import image, lut


def displayed(*arguments, **more):
    return display_pixels(image(*arguments, **more)).tolist()[0]


def test_rescale_gives_modality_values():
    ds = image([0, 1, 1024], bits=16, stored=12, RescaleSlope=2, RescaleIntercept=-1024)
    assert modality_pixels(ds).tolist() == [[-1024, -1022, 1024]]


def test_modality_lut_maps_below_and_beyond_to_its_ends():
    ds = image([0, 10, 11, 12, 200], ModalityLUTSequence=lut([100, 200, 300], 10))
    assert modality_pixels(ds).tolist() == [[100, 100, 200, 300, 300]]


def test_modality_lut_comes_before_rescale():
    ds = image(
        [1], ModalityLUTSequence=lut([7, 9], 0), RescaleSlope=5, RescaleIntercept=0
    )
    assert modality_pixels(ds).tolist() == [[9]]


def test_linear_window_by_hand():
    # C.11.2.1.2.1 with c = 128, w = 256: (x - 127.5) / 255 + 0.5
    shown = displayed([0, 51, 255], WindowCenter=128, WindowWidth=256)
    assert shown == pytest.approx([0, 0.2, 1])


def test_linear_exact_window_by_hand():
    shown = displayed(
        [0, 64, 128, 255],
        WindowCenter=128,
        WindowWidth=128,
        VOILUTFunction="LINEAR_EXACT",
    )
    assert shown == pytest.approx([0, 0, 0.5, 1])


def test_sigmoid_window_by_hand():
    shown = displayed(
        [64, 128], WindowCenter=128, WindowWidth=256, VOILUTFunction="SIGMOID"
    )
    assert shown == pytest.approx([1 / (1 + np.e), 0.5])


def test_width_one_is_a_threshold():
    assert displayed([9, 10, 11], WindowCenter=10, WindowWidth=1) == [0, 1, 1]


def test_first_of_several_windows():
    shown = displayed([0, 255], WindowCenter=[128, 10], WindowWidth=[256, 2])
    assert shown == pytest.approx([0, 1])


def test_voi_lut_comes_before_the_window():
    ds = image(
        [0, 1, 2],
        VOILUTSequence=lut([0, 1023, 512], 0, 10),
        WindowCenter=1,
        WindowWidth=2,
    )
    assert display_pixels(ds)[0] == pytest.approx([0, 1, 512 / 1023])


def test_eight_bit_voi_lut_of_many_entries_does_not_wrap():
    entries = [i // 16 for i in range(4096)]
    ds = image([0, 256, 4095], bits=16, stored=12, VOILUTSequence=lut(entries, 0, 8))
    assert display_pixels(ds)[0] == pytest.approx([0, 16 / 255, 1])


def test_zero_lut_entries_mean_65536():
    table = lut(np.arange(65536), 0, 16, n_entries=0, as_bytes=True)
    ds = image([0, 32768, 65535], bits=16, VOILUTSequence=table)
    assert display_pixels(ds)[0] == pytest.approx([0, 32768 / 65535, 1])


def test_signed_first_mapped_value_even_when_read_unsigned():
    table = lut([0, 100, 200, 255], 0, 8)
    table[0].LUTDescriptor = [4, 65534, 8]  # -2 as US
    ds = image([-5, -2, -1, 0, 9], bits=16, signed=True, VOILUTSequence=table)
    assert display_pixels(ds)[0] == pytest.approx(np.array([0, 0, 100, 200, 255]) / 255)


def test_no_window_shows_the_range_of_valid_pixels():
    values = np.arange(100, 200).reshape(10, 10)
    shown = display_pixels(image(values))
    assert shown.min() == 0
    assert shown.max() == 1
    assert shown[5, 0] == pytest.approx(0.505, abs=0.01)


def test_constant_image_is_black_not_a_division_by_zero():
    assert display_pixels(image(np.full((4, 4), 7))).tolist() == [[0] * 4] * 4


@pytest.mark.parametrize(
    ("photometric", "shape", "expected"),
    [
        ("MONOCHROME2", None, [0, 1]),
        ("MONOCHROME1", None, [1, 0]),
        ("MONOCHROME1", "INVERSE", [1, 0]),  # the same said twice, inverted once
        ("MONOCHROME2", "INVERSE", [1, 0]),
        ("MONOCHROME2", "IDENTITY", [0, 1]),
    ],
)
def test_polarity(photometric, shape, expected):
    more = {"PresentationLUTShape": shape} if shape else {}
    ds = image(
        [0, 255],
        PhotometricInterpretation=photometric,
        WindowCenter=128,
        WindowWidth=256,
        **more,
    )
    assert display_pixels(ds).tolist() == [expected]


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_out_of_the_range(photometric):
    ds = image(
        [0, 5, 100, 150, 200],
        PhotometricInterpretation=photometric,
        PixelPaddingValue=0,
        PixelPaddingRangeLimit=5,
    )
    shown = display_pixels(ds)[0]
    assert shown[:2].tolist() == [0, 0]
    assert sorted(shown[2:]) == pytest.approx([0, 0.5, 1], abs=0.01)


def test_negative_padding_written_unsigned():
    ds = image([-2000, 0, 100], bits=16, signed=True)
    ds.add_new("PixelPaddingValue", "US", 65536 - 2000)
    assert display_pixels(ds)[0] == pytest.approx([0, 0, 1], abs=0.01)


def test_only_padding_is_refused():
    with pytest.raises(UnsupportedPixels, match="nothing to show"):
        display_pixels(image([[3, 3]], PixelPaddingValue=3))


def test_overlay_in_the_high_bits_is_masked():
    ds = image([0x1005, 0x8FFF], bits=16, stored=12)
    assert modality_pixels(ds).tolist() == [[5, 0xFFF]]


def test_high_bit_above_the_stored_bits_is_shifted():
    ds = image([0x0050, 0xFFF0], bits=16, stored=12, HighBit=15)
    assert modality_pixels(ds).tolist() == [[5, 0xFFF]]


def test_signed_twelve_bits_are_extended():
    ds = image([0x0FFF, 0x0800, 5], bits=16, stored=12, PixelRepresentation=1)
    assert modality_pixels(ds).tolist() == [[-1, -2048, 5]]


@given(
    values=arrays.arrays(np.int64, (3, 4), elements=st.integers(0, 2**16 - 1)),
    stored=st.sampled_from([8, 10, 12, 14, 16]),
    signed=st.booleans(),
)
def test_stored_values_survive_every_depth(values, stored, signed):
    values = values % 2**stored - (2 ** (stored - 1) if signed else 0)
    ds = image(values, bits=16, stored=stored, signed=signed)
    assert np.array_equal(modality_pixels(ds), values)


@given(
    values=arrays.arrays(np.uint16, (2, 6), elements=st.integers(0, 4095)),
    centre=st.floats(-500, 5000),
    width=st.floats(50, 5000),
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_windows_agree_with_pydicom(values, centre, width, function):
    ds = image(
        values,
        bits=16,
        stored=12,
        WindowCenter=f"{centre:.8g}",
        WindowWidth=f"{width:.8g}",
        VOILUTFunction=function,
    )
    shown = display_pixels(ds)
    assert shown.min() >= 0
    assert shown.max() <= 1
    expected = apply_windowing(values, ds) / 4095
    assert shown == pytest.approx(expected, abs=1e-5)
    order = np.argsort(values, axis=None)
    assert (np.diff(shown.ravel()[order]) >= 0).all()


@pytest.mark.parametrize(
    ("more", "shape"),
    [
        ({"PixelSpacing": [0.4, 0.2]}, (8, 6)),
        ({"ImagerPixelSpacing": [0.1, 0.2]}, (4, 12)),
        ({"PixelAspectRatio": [3, 1]}, (12, 6)),
        ({"PixelSpacing": [0.2, 0.2], "PixelAspectRatio": [3, 1]}, (4, 6)),
        ({"PixelSpacing": [0, 0]}, (4, 6)),
    ],
)
def test_pixels_become_square(more, shape):
    values = np.arange(24).reshape(4, 6)
    shown = display_pixels(image(values, **more))
    assert shown.shape == shape
    assert shown[0, 0] == 0
    assert shown[-1, -1] == 1


def test_colour_becomes_luminance():
    ds = image(
        [255, 0, 0, 0, 255, 0], SamplesPerPixel=3, PhotometricInterpretation="RGB"
    )
    ds.Rows, ds.Columns, ds.PlanarConfiguration = 1, 2, 0
    assert display_pixels(ds)[0] == pytest.approx([0.299, 0.587])


def test_float_pixel_data_and_not_a_number():
    ds = image([0, 0, 0], bits=32, PixelData=None)
    ds.add_new("FloatPixelData", "OF", np.array([1.5, 2.5, np.nan], "<f4").tobytes())
    for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
        delattr(ds, keyword)
    assert modality_pixels(ds)[0, :2].tolist() == [1.5, 2.5]
    assert display_pixels(ds)[0] == pytest.approx([0, 1, 0])


def test_frames_have_their_own_window():
    ds = image([[0], [255]], Rows=1, Columns=1, NumberOfFrames=2)
    ds.PerFrameFunctionalGroupsSequence = Sequence([_window(0), _window(300)])
    assert display_pixels(ds, 0).tolist() == [[0.5]]
    assert display_pixels(ds, 1).tolist() == pytest.approx(np.array([[0.05]]))
    with pytest.raises(UnsupportedPixels, match="frame 2 of 2"):
        display_pixels(ds, 2)


def _window(centre):
    voi, item = Dataset(), Dataset()
    voi.WindowCenter, voi.WindowWidth = centre, 100
    voi.VOILUTFunction = "LINEAR_EXACT"
    item.FrameVOILUTSequence = Sequence([voi])
    return item


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"Rows": 0}, "0 rows"),
        ({"BitsStored": 16, "HighBit": 15}, "Bits Stored 16 of 8"),
        ({"BitsAllocated": 12}, "Bits Allocated 12"),
        ({"HighBit": 3}, "High Bit 3"),
        ({"PhotometricInterpretation": "CMYK"}, "CMYK"),
        ({"PhotometricInterpretation": "RGB"}, "1 samples per pixel"),
        ({"Rows": 100}, "cut off"),
        ({"Rows": 60000, "Columns": 60000}, "more than the limit"),
        ({"WindowCenter": 1, "WindowWidth": 0}, "Window Width 0"),
        ({"WindowCenter": 1}, "must both be there"),
        ({"WindowCenter": 1, "WindowWidth": 9, "VOILUTFunction": "CUBIC"}, "CUBIC"),
        ({"RescaleSlope": 0, "RescaleIntercept": 1}, "Rescale Slope is 0"),
        ({"PixelSpacing": [-1, 1]}, "must be positive"),
        ({"PixelData": None}, "no pixel data"),
        ({"PresentationLUTShape": "ODD"}, "ODD"),
        ({"VOILUTSequence": lut([1, 2], 0, n_entries=9)}, "2 of 9 entries"),
        ({"VOILUTSequence": lut([1, 2], 0, 3)}, "LUT of 3 bits"),
    ],
)
def test_refuses_rather_than_guesses(more, reason):
    with pytest.raises(UnsupportedPixels, match=reason):
        display_pixels(image([[1, 2], [3, 4]], **more))


def test_limits_hold_before_decoding():
    ds = image(np.zeros((4, 4)))
    with pytest.raises(UnsupportedPixels, match="limit of 15"):
        modality_pixels(ds, most_pixels=15)
    with pytest.raises(UnsupportedPixels, match="15 bytes"):
        modality_pixels(ds, most_bytes=15)


def test_reads_without_preamble_and_with_big_endian():
    ds = image([[1, 2]], bits=16)
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    del ds.file_meta
    plain = io.BytesIO()
    ds.save_as(plain, implicit_vr=True, little_endian=True, enforce_file_format=False)
    plain.seek(0)
    assert modality_pixels(read(plain)).tolist() == [[1, 2]]


def test_big_endian_lut_bytes():
    ds = image([[0, 1]], bits=16, VOILUTSequence=lut([0, 1], 0))
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    ds.PixelData = np.array([0, 1], ">u2").tobytes()
    item = ds.VOILUTSequence[0]
    item.add_new("LUTData", "OW", np.array([0, 65535], ">u2").tobytes())
    assert display_pixels(ds).tolist() == [[0, 1]]


def test_what_is_not_dicom_is_refused(tmp_path):
    path = tmp_path / "note.dcm"
    path.write_bytes(b"")
    with pytest.raises(UnsupportedPixels):
        read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent.dcm")
