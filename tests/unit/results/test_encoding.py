"""What is written without pydicom is written as pydicom writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dicomnode.results import build
from dicomnode.results.charset import keep_bytes
from dicomnode.results.encoding import as_read, encode_elements
from tests.unit.results import cases


def written(dataset: Dataset) -> bytes:
    """By pydicom, with what is bytes as these bytes."""
    keep_bytes(dataset)
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def joined(dataset: Dataset) -> bytes:
    return b"".join(encode_elements(dataset, sorted(dataset.keys())).values())


@pytest.mark.parametrize("findings", [cases.outlined, cases.negative])
def test_results_read_again_are_written_alike(findings) -> None:
    for one in build(cases.context(), findings(), ["sr", "sc", "gsps"]):
        dataset = as_read(b"".join(one.encoded))
        assert joined(dataset) == written(dataset)
        for element in dataset.iterall():  # now parsed, at every depth
            assert element.value is not None or element.VM == 0
        assert joined(dataset) == written(dataset)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PatientName", "Müller^Änne"),
        ("PatientName", "Plain^Name"),
        ("StudyDescription", "odd"),
        ("StudyDescription", "Thorax im Bett: Übersicht"),
        ("StudyDescription", ""),
        ("StudyDescription", None),
        ("ImageComments", "lines\r\nand lines"),
        ("SOPClassUID", UID("1.2.840.10008.5.1.4.1.1.7")),
        ("SOPInstanceUID", "1.2.3"),
        ("ImageType", ["DERIVED", "SECONDARY", "OTHER"]),
        ("SoftwareVersions", "1\\2"),
        ("InstanceNumber", 101),
        ("InstanceNumber", "007"),
        ("PatientWeight", "70.50"),
        ("ImagerPixelSpacing", [0.143, 0.144]),
        ("Rows", 2048),
        ("ContentDate", "20261126"),
        ("ContentTime", "161300"),
        ("DisplayedAreaTopLeftHandCorner", [1, 1]),
        ("GraphicData", [1.5, 2.5]),
        ("PerformedProcedureCodeSequence", []),
        ("TextValue", "t" * 70_001),
    ],
)
@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192", ""])
def test_every_kind_of_value_is_written_alike(
    charset: str, keyword: str, value: object
) -> None:
    dataset, item = Dataset(), Dataset()
    if charset or not str(value).isascii():
        dataset.SpecificCharacterSet = charset or "ISO_IR 192"
    setattr(item, keyword, value)
    dataset.ReferencedRequestSequence = [item, Dataset()]
    setattr(dataset, keyword, value)
    assert joined(dataset) == written(dataset)


@given(st.text(st.characters(codec="latin-1", exclude_characters="\\"), max_size=64))
def test_every_text_is_written_alike(text: str) -> None:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.TextValue = text
    assert joined(dataset) == written(dataset)


def test_a_character_set_of_an_item_is_its_own() -> None:
    dataset, item = Dataset(), Dataset()
    dataset.SpecificCharacterSet, item.SpecificCharacterSet = "ISO_IR 100", "ISO_IR 192"
    dataset.StudyDescription = item.RequestedProcedureDescription = "Übersicht"
    dataset.ReferencedRequestSequence = [item]
    assert joined(dataset) == written(dataset)
    assert joined(dataset).count("Übersicht".encode()) == 1
    assert joined(dataset).count("Übersicht".encode("latin-1")) == 1
