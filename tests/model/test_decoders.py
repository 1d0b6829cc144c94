"""Whichever decoder is asked first, the pixels are those of GDCM, or it declines."""

from __future__ import annotations

import logging
import struct
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import jpeg8_encode
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    JPEG2000,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from model.pixels import UnsupportedPixels, display_pixels, jpeg2000, jpeg_ls, lossless
from model.pixels.decoders import CANNOT_DECODE, decoded_frame, decoded_frames

SELECTIONS = range(1, 8)
CHOSEN = {
    JPEG2000,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
}


@pytest.fixture(autouse=True)
def quiet(caplog):
    """The malformed files make pydicom talk."""
    caplog.set_level(logging.CRITICAL, "pydicom")


def image_object(stream: bytes, like, *, signed=False, stored=None, n_frames=1):
    """A grey object whose one fragment for each frame is this stream."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEGLossless
    ds.Rows, ds.Columns = like.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.NumberOfFrames = n_frames
    ds.BitsAllocated = 8 * like.dtype.itemsize
    ds.BitsStored = stored or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(signed)
    ds.PixelData = encapsulate([stream] * n_frames)
    ds["PixelData"].VR = "OB"
    return ds


def by(plugin, ds):
    """The pixels that one decoder gives, or None where it declines."""
    try:
        return pixel_array(ds, index=0, decoding_plugin=plugin)
    except CANNOT_DECODE:
        return None


def noise(precision, rows=24, columns=31, seed=0):
    """Grey values that use every bit of the precision, with smooth parts between."""
    rng = np.random.default_rng(seed)
    kind = np.uint8 if precision <= 8 else np.uint16
    found = rng.integers(0, 1 << precision, (rows, columns)).astype(kind)
    found[rows // 3 : rows // 2] = 1 << (precision - 1)
    found[-rows // 4 :] //= 16
    return found


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("precision", [2, 7, 8, 9, 12, 15, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_jpeg_lossless_is_bit_equal_in_every_selection(selection, precision, signed):
    image = noise(precision)
    stream = jpeg8_encode(
        image, lossless=True, predictor=selection, bitspersample=precision
    )
    ds = image_object(stream, image, signed=signed, stored=precision)
    ours = by(lossless.LABEL, ds)
    assert ours is not None
    bits = ours.view(image.dtype) & np.array((1 << precision) - 1, image.dtype)
    assert np.array_equal(bits, image)
    if precision in (8, 12, 16):  # others may end the process of GDCM
        reference = by("gdcm", ds)
        assert ours.dtype == reference.dtype
        assert np.array_equal(ours, reference)


def test_differences_of_half_the_range_are_decoded():
    image = np.zeros((8, 8), np.uint16)
    image[:, ::2] = 32768  # category 16, PS ITU-T T.81 table H.2
    image[3] = 65535
    stream = jpeg8_encode(image, lossless=True, predictor=1, bitspersample=16)
    assert np.array_equal(by(lossless.LABEL, image_object(stream, image)), image)


@pytest.mark.peer
@pytest.mark.parametrize(
    "options", [["+e1"], *(["+el", "+sv", str(n)] for n in SELECTIONS)]
)
def test_what_dcmtk_encodes_is_bit_equal(options, tmp_path, require_command):
    image = noise(12, 64, 48)
    source, target = tmp_path / "a.dcm", tmp_path / "b.dcm"
    raw_object(image).save_as(source, enforce_file_format=True)
    subprocess.run(
        [require_command("dcmcjpeg"), *options, source, target], check=True, timeout=60
    )
    ds = pydicom.dcmread(target)
    assert ds.file_meta.TransferSyntaxUID in lossless.SYNTAXES
    assert np.array_equal(by(lossless.LABEL, ds), image)
    assert np.array_equal(by("gdcm", ds), image)


@pytest.mark.peer
def test_a_point_transform_is_left_to_the_others(tmp_path, require_command):
    image = noise(12, 64, 48)
    source, target = tmp_path / "a.dcm", tmp_path / "b.dcm"
    raw_object(image).save_as(source, enforce_file_format=True)
    command = [require_command("dcmcjpeg"), "+e1", "+pt", "2", source, target]
    subprocess.run(command, check=True, timeout=60)
    ds = pydicom.dcmread(target)
    assert by(lossless.LABEL, ds) is None
    syntax = ds.file_meta.TransferSyntaxUID
    assert np.array_equal(decoded_frame(ds, 0, syntax, {}), by("gdcm", ds))


def raw_object(image):
    ds = image_object(b"  ", image, stored=12)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID
    ds.PixelData = image.tobytes()
    ds["PixelData"].VR = "OW"
    return ds


IMAGE = noise(12, 20, 16)
STREAMS = [
    jpeg8_encode(IMAGE, lossless=True, predictor=selection, bitspersample=12)
    for selection in SELECTIONS
]


DAMAGE = (
    st.lists(st.integers(0, 1 << 17), max_size=3),
    st.integers(0, 1 << 14),
    st.integers(-20, 20).map(lambda n: max(0, n)),
)


def spoilt(stream, places, cut, left_out):
    """The stream with some bits turned over behind its headers, and a piece left out.

    GDCM does not survive everything in a header, and is asked in this process.
    """
    found = bytearray(stream)
    first = stream.index(b"\xff\xda" if stream.startswith(b"\xff\xd8") else b"\xff\x93")
    for place in places:
        found[first + place // 8 % (len(found) - first)] ^= 1 << place % 8
    cut = first + cut % (len(found) - first)
    return bytes(found[:cut] + found[cut + left_out :])


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(STREAMS),
    *DAMAGE,
)
def test_a_damaged_stream_is_decoded_as_by_gdcm_or_not_at_all(
    stream, places, cut, left_out
):
    spoiled = spoilt(stream, places, cut, left_out)
    ds = image_object(spoiled, IMAGE, stored=12)
    ours = by(lossless.LABEL, ds)
    if ours is not None:  # and only then is GDCM asked, which may end the process
        assert np.array_equal(ours, by("gdcm", ds))


@pytest.mark.parametrize("n_left", [2, 5, 60, 200, 300])
def test_a_stream_that_is_cut_off_is_declined(n_left):
    for stream in STREAMS:
        cut = stream[:n_left] if n_left < 100 else stream[:-n_left]
        assert by(lossless.LABEL, image_object(cut, IMAGE, stored=12)) is None
        ended = cut + b"\xff\xd9"
        assert by(lossless.LABEL, image_object(ended, IMAGE, stored=12)) is None


def test_restart_intervals_and_other_sizes_are_declined():
    scan = STREAMS[0].index(b"\xff\xda")
    restart = b"\xff\xdd" + struct.pack(">HH", 4, IMAGE.shape[1])
    stream = STREAMS[0][:scan] + restart + STREAMS[0][scan:]
    assert by(lossless.LABEL, image_object(stream, IMAGE, stored=12)) is None
    wider = np.zeros((IMAGE.shape[0], IMAGE.shape[1] + 1), np.uint16)
    assert by(lossless.LABEL, image_object(STREAMS[0], wider, stored=12)) is None


def test_samples_beyond_the_precision_are_declined():
    stream = bytearray(STREAMS[0])
    stream[stream.index(b"\xff\xc3") + 4] = 9  # it was 12
    assert by(lossless.LABEL, image_object(bytes(stream), IMAGE, stored=12)) is None


def jpeg_2000(image, *, signed=False, stored=None):
    ds = raw_object(image)
    ds.PixelRepresentation = int(signed)
    ds.BitsStored = stored or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    if image.ndim > 2:
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 3, "RGB"
        ds.PlanarConfiguration = 0
    ds.compress(JPEG2000Lossless, generate_instance_uid=False)
    return ds


@pytest.mark.parametrize("precision", [7, 8, 9, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_jpeg_2000_is_bit_equal(precision, signed):
    image = noise(precision, 70, 90)
    if signed:
        half = 1 << (precision - 1)
        image = (image.astype(np.int32) - half).astype(
            image.dtype.str.replace("u", "i")
        )
    ds = jpeg_2000(image, signed=signed, stored=precision)
    ours, reference = by(jpeg2000.LABEL, ds), by("gdcm", ds)
    assert ours.dtype == reference.dtype
    assert np.array_equal(ours, image)
    assert np.array_equal(ours, reference)


def test_jpeg_2000_in_colour_or_of_another_size_is_declined():
    ds = jpeg_2000(np.stack([noise(8, 70, 90)] * 3, -1))
    assert by(jpeg2000.LABEL, ds) is None
    assert decoded_frame(ds, 0, JPEG2000Lossless, {}).shape == (70, 90, 3)
    ds = jpeg_2000(LARGER)
    ds.Rows = 69
    assert by(jpeg2000.LABEL, ds) is None


LARGER = noise(12, 70, 90)
WAVELETS = jpeg_2000(LARGER, stored=12)


@settings(max_examples=150, deadline=None)
@given(
    *DAMAGE,
)
def test_a_damaged_jpeg_2000_stream_is_decoded_as_by_others_or_not_at_all(
    places, cut, left_out
):
    stream = get_frame(WAVELETS.PixelData, 0, number_of_frames=1)
    ds = image_object(spoilt(stream, places, cut, left_out), LARGER, stored=12)
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ours = by(jpeg2000.LABEL, ds)
    if ours is not None:
        assert np.array_equal(ours, by("pylibjpeg", ds))


def jpeg_ls_object(image):
    ds = raw_object(image)
    ds.compress(JPEGLSLossless, generate_instance_uid=False)
    return ds


SMALL = noise(12, 24, 20)
LOCO = get_frame(jpeg_ls_object(SMALL).PixelData, 0, number_of_frames=1)


@pytest.mark.parametrize("behind", [b"", b"\xff", b"\0" * 4])
def test_a_jpeg_ls_stream_that_is_cut_off_is_refused_at_once(behind):
    """Of most of these the library that decodes it never comes back."""
    for n_left in [*range(2, 130), len(LOCO) // 2, len(LOCO) - 3]:
        ds = image_object(LOCO[:n_left] + behind, SMALL, stored=12)
        ds.file_meta.TransferSyntaxUID = JPEGLSLossless
        with pytest.raises(
            UnsupportedPixels, match="is cut off: send the object again"
        ):
            display_pixels(ds)


def test_a_jpeg_ls_stream_with_padding_behind_its_end_is_whole():
    for behind in (b"", b"\0", b"\0" * 100):
        ds = image_object(LOCO + behind, SMALL, stored=12)
        ds.file_meta.TransferSyntaxUID = JPEGLSLossless
        assert np.array_equal(by(jpeg_ls.LABEL, ds), SMALL)
    assert not jpeg_ls.is_whole(b"")
    assert not jpeg_ls.is_whole(LOCO[2:])
    # Its end is there, and the segment before the pixels is not.
    assert not jpeg_ls.is_whole(LOCO[:10] + b"\xff\xd9")


@settings(max_examples=150, deadline=None)
@given(*DAMAGE)
def test_a_damaged_jpeg_ls_stream_has_an_end(places, cut, left_out):
    ds = image_object(spoilt(LOCO, places, cut, left_out), SMALL, stored=12)
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    by(jpeg_ls.LABEL, ds)


def encapsulated(shared_data):
    """Real files whose decoder is chosen, also those that come with pydicom."""
    for path in [*(shared_data / "dicom").rglob("*.dcm"), *get_testdata_files("*.dcm")]:
        if Path(path).stat().st_size > 600_000 or "malformed" in str(path):
            continue
        ds = pydicom.dcmread(path, force=True)
        syntax = getattr(ds, "file_meta", {}).get("TransferSyntaxUID")
        if "PixelData" in ds and syntax in CHOSEN:
            yield path, ds, syntax


def test_real_files_are_decoded_as_in_pydicoms_order(shared_data):
    compared = {}
    for path, ds, syntax in encapsulated(shared_data):
        try:
            expected = pixel_array(ds, index=0)
        except CANNOT_DECODE as error:
            with pytest.raises(type(error)):
                decoded_frame(ds, 0, syntax, {})
            continue
        found = decoded_frame(ds, 0, syntax, {})
        assert found.dtype == expected.dtype, path
        assert np.array_equal(found, expected), path
        compared[syntax] = compared.get(syntax, 0) + 1
    assert set(compared) == CHOSEN


def test_frames_go_on_with_the_others_where_one_is_declined(tmp_path):
    plain, odd = STREAMS[0], STREAMS[1] + b"\1\1"
    assert by(lossless.LABEL, image_object(odd, IMAGE, stored=12)) is None
    ds = raw_object(IMAGE)
    ds.NumberOfFrames = 3
    ds.file_meta.TransferSyntaxUID = JPEGLossless
    ds.PixelData = encapsulate([plain, odd, plain])
    ds["PixelData"].VR = "OB"
    path = tmp_path / "three.dcm"
    ds.save_as(path, enforce_file_format=True)
    with path.open("rb") as file:
        found = list(decoded_frames(file, [0, 2, 1, 0], JPEGLossless, {}))
    assert len(found) == 4
    assert all(np.array_equal(one, IMAGE) for one in found)
