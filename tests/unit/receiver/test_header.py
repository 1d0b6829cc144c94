"""The header scan: what it finds, what it bears."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_partial
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicomnode.domain.instance import ROUTING_KEYWORDS
from dicomnode.receiver import elements, header
from dicomnode.receiver.header import Header, scan

UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
UNDEFINED = 0xFFFFFFFF


def dataset() -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.ImageType = ["ORIGINAL", "PRIMARY", ""]
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    ds.SOPInstanceUID = "1.2.3.4.5.6"
    ds.StudyDate = "20240229"
    ds.Modality = "CT"
    ds.StudyDescription = "Thorax Übersicht"
    ds.ReferencedStudySequence = Sequence([item("9.9.1"), item("9.9.2")])
    ds.PatientName = "Müller^Jörg=山田^太郎"
    ds.PatientID = "4711"
    ds.PatientSex = "O"
    ds.SliceThickness = "0.5"
    ds.StudyInstanceUID = "1.2.3.4"
    ds.SeriesInstanceUID = "1.2.3.4.5"
    ds.Rows, ds.Columns = 512, 256
    ds.PixelData = bytes(16)
    ds["PixelData"].VR = "OW"
    return ds


def item(uid: str) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPInstanceUID = uid
    ds.StudyInstanceUID = "6.6.6"
    return ds


def encoded(ds: Dataset, syntax: str, undefined: bool = False) -> bytes:
    for element in ds:
        if element.VR == "SQ":
            element.is_undefined_length = undefined
            for one in element.value:
                one.is_undefined_length_sequence_item = undefined
    out = DicomBytesIO()
    out.is_little_endian = syntax != ExplicitVRBigEndian
    out.is_implicit_VR = syntax == ImplicitVRLittleEndian
    write_dataset(out, ds)
    return out.getvalue()


def check(found: Header) -> None:
    assert found.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert found.sop_instance_uid == "1.2.3.4.5.6"
    assert found.study_instance_uid == "1.2.3.4"
    assert found.series_instance_uid == "1.2.3.4.5"
    assert found.attributes == {
        "ImageType": ("ORIGINAL", "PRIMARY", ""),
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "StudyDate": "20240229",
        "Modality": "CT",
        "StudyDescription": "Thorax Übersicht",
        "PatientSex": "O",
        "SliceThickness": "0.5",
        "Rows": "512",
        "Columns": "256",
    }
    assert found.identity.patient_name == "Müller^Jörg=山田^太郎"
    assert found.identity.patient_id == "4711"


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", UNCOMPRESSED)
def test_every_encoding_gives_the_same(syntax: str, undefined: bool) -> None:
    check(scan(encoded(dataset(), syntax, undefined), syntax, ()))


@pytest.mark.parametrize("encoding", UNCOMPRESSED[:2])
@pytest.mark.parametrize("declared", ["1.2.3.4.5", JPEG2000, "1.2.840.10008.1.2.4.999"])
def test_in_other_syntaxes_explicit_then_implicit_is_tried(
    encoding: str, declared: str
) -> None:
    check(scan(encoded(dataset(), encoding), declared, ()))


def test_a_deflated_data_set() -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    plain = encoded(dataset(), ExplicitVRLittleEndian)
    data = deflater.compress(plain) + deflater.flush()
    check(scan(data, DeflatedExplicitVRLittleEndian, ()))


def test_a_deflate_bomb_is_inflated_no_further_than_the_header(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    head = encoded(dataset(), ExplicitVRLittleEndian)
    bomb = deflater.compress(head + bytes(200 << 20)) + deflater.flush()
    sizes = []
    real = elements.elements

    def measured(data: memoryview, *rest: object) -> object:
        sizes.append(len(data))
        return real(data, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(header, "elements", measured)
    check(scan(bomb, DeflatedExplicitVRLittleEndian, ()))
    assert sizes == [1 << 20]


def test_what_is_not_deflated_has_no_header() -> None:
    assert scan(b"\xff" * 64, DeflatedExplicitVRLittleEndian, ()).attributes == {}


def test_further_keywords_are_read_when_asked_for() -> None:
    ds = dataset()
    ds.WindowCenter = ["40", "300"]
    ds.RescaleSlope = "1.5"
    ds.PixelPaddingValue = -2000
    ds["PixelPaddingValue"].VR = "SS"
    ds.ImplantPartNumber = "late"
    asked = ("WindowCenter", "PixelPaddingValue", "NoSuchKeyword")
    found = scan(encoded(ds, ExplicitVRLittleEndian), ExplicitVRLittleEndian, asked)
    assert found.attributes["WindowCenter"] == ("40", "300")
    assert found.attributes["PixelPaddingValue"] == "-2000"
    assert "RescaleSlope" not in found.attributes


def explicit(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


UIDS = explicit(0x20, 0x0D, b"UI", b"1.2\0") + explicit(0x20, 0x0E, b"UI", b"1.2.3\0")


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(
            struct.pack("<HH2sHI", 9, 0x1010, b"UN", 0, UNDEFINED)
            + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
            # Within UN of undefined length the elements have no VR.
            + struct.pack("<HHI", 9, 0x1011, 0x20202020 & 0xFF)
            + b" " * 0x20
            + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
            + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
            id="UN of undefined length",
        ),
        pytest.param(
            struct.pack("<HH2sHI", 9, 0x1010, b"OB", 0, UNDEFINED)
            + struct.pack("<HHI", 0xFFFE, 0xE000, 4)
            + b"\xfe\xff\xdd\xe0"
            + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0),
            id="fragments that look like delimiters",
        ),
        pytest.param(
            struct.pack("<HHI", 9, 0x1010, 4) + b"\0\0\0\0", id="an element without VR"
        ),
        pytest.param(
            struct.pack("<HH2sHI", 9, 0x1010, b"ZZ", 0, 4) + b"abcd", id="a VR to come"
        ),
        pytest.param(explicit(9, 0, b"UL", b"\0\0\0\0"), id="a group length"),
        pytest.param(explicit(8, 0x60, b"CS", b""), id="an empty element"),
        pytest.param(
            (
                struct.pack("<HH2sHI", 9, 0x1010, b"SQ", 0, UNDEFINED)
                + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
            )
            * 5000
            + (
                struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
                + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
            )
            * 5000,
            id="5000 deep",
        ),
    ],
)
def test_odd_elements_before_the_uids_are_passed_over(odd: bytes) -> None:
    found = scan(odd + UIDS, ExplicitVRLittleEndian, ())
    assert (found.study_instance_uid, found.series_instance_uid) == ("1.2", "1.2.3")


@pytest.mark.parametrize(
    "odd",
    [
        struct.pack("<HH2sHI", 9, 0x1010, b"SQ", 0, UNDEFINED),
        struct.pack("<HH2sHI", 9, 0x1010, b"OB", 0, 0xFFFFFFF0),
        explicit(8, 5, b"CS", b"x" * 10)[:-4],
        explicit(9, 0x1010, b"LO", b"") * 200_000,
    ],
)
def test_a_broken_or_endless_header_has_no_uids(odd: bytes) -> None:
    assert scan(odd + UIDS, ExplicitVRLittleEndian, ()).study_instance_uid == ""


def test_bad_values_are_absent() -> None:
    data = (
        explicit(0x08, 0x60, b"CS", b"\0\0")
        + explicit(0x08, 0x1030, b"LO", b"x" * 20_000)
        + explicit(0x18, 0x50, b"SQ", b"")
        + UIDS
        + explicit(0x28, 0x10, b"US", b"\0\1\2")
        + explicit(0x28, 0x11, b"OB", b"\0\1")[:8]
    )
    assert scan(data, ExplicitVRLittleEndian, ()).attributes == {}


def test_nul_and_spaces_are_no_part_of_a_value() -> None:
    data = explicit(0x08, 0x60, b"CS", b" C\0T \0") + UIDS
    assert scan(data, ExplicitVRLittleEndian, ()).attributes == {"Modality": "CT"}


@pytest.mark.parametrize(
    ("term", "raw", "text"),
    [
        (b"ISO_IR 100", "Jörg".encode("latin-1"), "Jörg"),
        (b"ISO-IR 100", "Jörg".encode("latin-1"), "Jörg"),
        (b"ISO 2022 IR 100", "Jörg".encode("latin-1"), "Jörg"),
        (b"iso_ir 192 ", "Jörg".encode(), "Jörg"),
        (b"UTF-8", "Jörg".encode(), "Jörg"),
        (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
        (b"GBK", "尯尀".encode("gbk"), "尯尀"),
        (b"", b"plain", "plain"),
        (b"rot13", b"plain", "plain"),
        (b"unicode_escape", b"\\x41", ("", "x41")),
        (b"ISO_IR 192", b"J\xffrg", "J�rg"),
    ],
)
def test_character_sets(term: bytes, raw: bytes, text: object) -> None:
    data = explicit(8, 5, b"CS", term) + explicit(8, 0x1030, b"LO", raw) + UIDS
    found = scan(data, ExplicitVRLittleEndian, ())
    assert found.attributes["StudyDescription"] == text


def test_charset_files_read_as_pydicom_reads_them(shared_data: Path) -> None:
    names = 0
    for path in sorted((shared_data / "dicom" / "charset").glob("*.dcm")):
        ds = dcmread(path, stop_before_pixels=True)
        with path.open("rb") as file:
            partial = read_partial(file, stop_when=lambda *_: True)
            file.seek(partial.file_meta.FileMetaInformationGroupLength + 144)
            found = scan(file.read(), str(partial.file_meta.TransferSyntaxUID), ())
        expected = str(ds.get("PatientName", ""))
        assert found.identity.patient_name == expected.rstrip("="), path.name
        names += bool(expected)
    assert names >= 14


def test_real_files_read_as_pydicom_reads_them(shared_data: Path) -> None:
    compared = 0
    for theme in ("cr_dx", "transfer_syntax_small", "us", "mr_misc"):
        for path in sorted((shared_data / "dicom" / theme).rglob("*.dcm")):
            ds = dcmread(path, stop_before_pixels=True)
            with path.open("rb") as file:
                partial = read_partial(file, stop_when=lambda *_: True)
                file.seek(partial.file_meta.FileMetaInformationGroupLength + 144)
                syntax = str(partial.file_meta.TransferSyntaxUID)
                found = scan(file.read(), syntax, ())
            for keyword in ROUTING_KEYWORDS:
                expected = as_text(ds.get(keyword))
                assert found.attributes.get(keyword, "") == expected, (path, keyword)
                compared += bool(expected)
    assert compared > 300


def as_text(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, str | int | float):
        return str(value).strip()
    parts = tuple(str(part).strip() for part in value)  # type: ignore[attr-defined]
    return parts if any(parts) else ""


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), syntax=st.sampled_from(UNCOMPRESSED))
def test_no_bytes_make_it_raise(data: bytes, syntax: str) -> None:
    scan(data, syntax, ())


@settings(max_examples=200, deadline=None)
@given(
    where=st.integers(0, 400),
    with_=st.binary(min_size=1, max_size=6),
    syntax=st.sampled_from(UNCOMPRESSED),
)
def test_no_damage_makes_it_raise(where: int, with_: bytes, syntax: str) -> None:
    whole = BytesIO(encoded(dataset(), syntax))
    whole.seek(where)
    whole.write(with_)
    scan(whole.getvalue(), syntax, ("WindowCenter",))
