"""Faults 29 to 31: what images do to their decoders, in real decoder processes."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    RLELossless,
)

from dicomnode.decoder import Decoded, DecodeLimits, DecoderPool, Undecodable
from dicomnode.decoder.process import DecoderProcess

BAD = "tests.faults.bad_decoder"
SOON = DecodeLimits(timeout_seconds=0.5)


def an_image(syntax=ExplicitVRLittleEndian, **changes) -> io.BytesIO:
    """A whole radiograph of 8 x 8 pixels, but for the changes."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows = ds.Columns = 8
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = np.arange(64, dtype="<u2").tobytes()
    for keyword, value in changes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds["PixelData"].VR = "OB" if syntax.is_encapsulated else "OW"
    file = io.BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    file.seek(0)
    return file


@pytest.fixture(scope="module")
def decoder() -> Iterator[DecoderPool]:
    with DecoderPool(DecodeLimits(timeout_seconds=60), 1) as pool:
        yield pool


@pytest.fixture(scope="module")
def bad() -> Iterator[DecoderPool]:
    with DecoderPool(DecodeLimits(timeout_seconds=300), 1, BAD) as pool:
        yield pool


@pytest.fixture(scope="module")
def small() -> Iterator[DecoderPool]:
    with DecoderPool(DecodeLimits(max_pixels=1 << 22), 1) as pool:
        yield pool


def answer(pool: DecoderPool, file) -> Decoded | Undecodable:
    return pool.decode([file])[0].result()


def reason(pool: DecoderPool, file) -> str:
    found = answer(pool, file)
    assert isinstance(found, Undecodable), found
    return found.reason


# 29: the decoder crashes, hangs or eats memory on one image


@pytest.mark.parametrize(
    ("deed", "words"),
    [
        ("crash", r"crashed on this image \(SIGSEGV\)"),
        ("memory", "more memory than there is"),
        ("bug", r"crashed on this image \(TypeError at bad_decoder.py:\d+\)"),
    ],
)
def test_29_a_bad_image_costs_itself_and_no_other(
    bad: DecoderPool, deed: str, words: str
) -> None:
    files = [an_image(), io.BytesIO(deed.encode()), an_image()]
    first, refused, last = [one.result() for one in bad.decode(files)]
    assert isinstance(refused, Undecodable)
    assert re.search(words, refused.reason), refused.reason
    assert "Mrs. X" not in refused.reason
    for one in (first, last):
        assert isinstance(one, Decoded)
        assert one.display.shape == (8, 8)


@pytest.mark.parametrize("deed", ["loop", "stop"])
def test_29_a_decoder_that_hangs_or_is_stopped_is_killed(monkeypatch, deed) -> None:
    monkeypatch.setattr("dicomnode.decoder.process.GRACE_SECONDS", 0.5)
    with DecoderPool(SOON, 1, BAD) as pool:
        refused = reason(pool, io.BytesIO(deed.encode()))
    assert refused.startswith("it was not decoded within 0.5 seconds")


def test_29_a_decoder_killed_by_someone_else_costs_no_image(bad, tmp_path) -> None:
    image = io.BytesIO(f"once {tmp_path / 'marker'}".encode())
    assert reason(bad, image) == "decoded the second time"


def test_29_a_decoder_is_replaced_after_many_images(monkeypatch) -> None:
    monkeypatch.setattr("dicomnode.decoder.process.IMAGES", 2)
    process = DecoderProcess(DecodeLimits())
    pids = []
    for _ in range(3):
        assert isinstance(process.decode(an_image()), Decoded)
        pids.append(process._process.pid)
    process.stop()
    assert pids[0] == pids[1] != pids[2]


def test_29_a_decoder_gets_no_secrets_and_no_torch(monkeypatch) -> None:
    monkeypatch.setenv("DICOMNODE_DATABASE__URL", "postgresql://u:secret@h/d")
    process = DecoderProcess(DecodeLimits())
    process.start()
    pid = process._process.pid
    environ = Path(f"/proc/{pid}/environ").read_bytes()
    maps = Path(f"/proc/{pid}/maps").read_text()
    process.stop()
    assert b"u:secret" not in environ
    assert "libtorch" not in maps


def test_the_urgent_go_first_then_one_image_of_each_study_in_turn(
    bad, tmp_path
) -> None:
    order: list[str] = []
    # It has the only decoder until the others wait.
    asked = list(bad.decode([io.BytesIO(f"until {tmp_path / 'all'}".encode())]))
    for name, count, priority in (("ct", 3, 0), ("dx", 1, 0), ("stat", 2, 5)):
        answers = bad.decode([an_image() for _ in range(count)], priority)
        for number, one in enumerate(answers):
            said = f"{name}{number}"
            one.add_done_callback(lambda _, said=said: order.append(said))
        asked += answers
    (tmp_path / "all").touch()
    for one in asked:
        one.result()
    assert order == ["stat0", "stat1", "ct0", "dx0", "ct1", "ct2"]


# 30: decompression bombs


def rle_bomb() -> io.BytesIO:
    """648 bytes whose run lengths decode to gigabytes, by way of 10,000 frames."""
    segment = bytes([0x81, 0]) * 280
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + segment
    return an_image(
        RLELossless,
        PixelData=encapsulate([frame]),
        Rows=65535,
        Columns=65535,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
    )


def deflate_bomb() -> io.BytesIO:
    return an_image(
        DeflatedExplicitVRLittleEndian,
        PixelData=bytes(1 << 24),
        Rows=2048,
        Columns=4096,
    )


@pytest.mark.parametrize(
    ("bomb", "words"),
    [
        (lambda: an_image(Rows=65535, Columns=65535), "more than the limit"),
        (lambda: an_image(NumberOfFrames=1_000_000_000), "more than the limit"),
        (rle_bomb, "more than the limit"),
        (deflate_bomb, "inflates to more than the limit"),
    ],
)
def test_30_a_bomb_is_refused_before_it_is_decoded(small, bomb, words: str) -> None:
    assert words in reason(small, bomb())
    assert isinstance(answer(small, an_image()), Decoded)


def test_30_a_bomb_within_the_pixel_limit_meets_the_memory_limit() -> None:
    limits = DecodeLimits(max_pixels=1 << 40, memory_bytes=1 << 29, timeout_seconds=60)
    with DecoderPool(limits, 1) as pool:
        assert "memory" in reason(pool, rle_bomb())
        assert isinstance(answer(pool, an_image()), Decoded)


# 31: pixel data that are missing, cut off, too long, or not what the header says


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PixelData": bytes(2 * 63)}, "126 of 128 bytes: the object is cut off"),
        ({"BitsStored": 17}, "Bits Stored 17 of 16 allocated cannot be"),
        ({"HighBit": 20}, "High Bit 20"),
        ({"PhotometricInterpretation": "YBR_NOVEL"}, "YBR_NOVEL"),
        ({"Rows": None}, "Rows is missing"),
        ({"Rows": 0}, "0 rows"),
        ({"SamplesPerPixel": 3}, "3 samples per pixel in MONOCHROME2"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette cannot be applied"),
    ],
)
def test_31_what_cannot_be_decoded_rightly_is_refused_with_reason(
    decoder: DecoderPool, changes, words: str
) -> None:
    assert words in reason(decoder, an_image(**changes))


def test_31_pixel_data_that_are_too_long_are_decoded_as_far_as_they_mean_pixels(
    decoder: DecoderPool,
) -> None:
    longer = np.arange(64, dtype="<u2").tobytes() + b"\xff" * 40
    found, usual = (
        answer(decoder, an_image(PixelData=longer)),
        answer(decoder, an_image()),
    )
    assert np.array_equal(found.display, usual.display)


def test_31_all_malformed_files_have_an_end_and_crash_nothing(
    decoder: DecoderPool, shared_data
) -> None:
    folders = [shared_data / "dicom" / "malformed", Path(pydicom.__file__).parent]
    files = [p for f in folders for p in sorted(f.rglob("*")) if is_data(p)]
    assert len(files) > 250
    for path in files:
        with path.open("rb") as file:
            found = answer(decoder, file)
        if isinstance(found, Undecodable):
            assert "crashed" not in found.reason, path.name
            assert len(found.reason) > 20, path.name
        else:
            low, high = float(found.display.min()), float(found.display.max())
            assert 0 <= low <= high <= 1, path.name


def is_data(path: Path) -> bool:
    return path.is_file() and path.suffix not in (".py", ".pyc", ".typed")
