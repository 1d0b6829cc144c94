"""Deterministic bytes: the same data set, the same file (PS3.10, Explicit VR LE)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from io import BytesIO
from typing import TypeAlias

from pydicom import dcmread
from pydicom.charset import default_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import dcmwrite, write_data_element, write_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32

from dicomnode.results.charset import text_of
from dicomnode.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

Charset: TypeAlias = str | list[str]
"""SpecificCharacterSet as pydicom takes it."""
Element: TypeAlias = DataElement | RawDataElement

_CHARSET = Tag("SpecificCharacterSet")
_SHORT, _LONG = struct.Struct("<HH2sH"), struct.Struct("<HH2sHI")
_ITEM = struct.Struct("<HHI")
_UNDEFINED, _MOST_SHORT = 0xFFFFFFFF, 0xFFFF


def encode(dataset: Dataset) -> bytes:
    """A complete DICOM file; ``dataset`` needs its file meta."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def encode_data_set(dataset: Dataset) -> bytes:
    """The data set alone, as it travels in a C-STORE, in Explicit VR Little Endian."""
    buffer = _buffer()
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def encode_elements(
    dataset: Dataset, tags: Iterable[BaseTag], charset: Charset = default_encoding
) -> dict[BaseTag, bytes]:
    """Some elements of a settled data set, each by itself.

    Those of all its tags, joined in order, are what `encode_data_set` gives. charset:
    of the data set around it.
    """
    if _CHARSET in dataset.keys():  # noqa: SIM118  # the data set would parse the tag
        charset = dataset.SpecificCharacterSet
    return {tag: _encoded(dataset.get_item(tag), charset) for tag in tags}


def _encoded(element: Element, charset: Charset) -> bytes:
    """As pydicom writes it, which takes long for what is simple."""
    vr, value = str(element.VR), _simple_value(element, charset)
    if value is None or (len(value) > _MOST_SHORT and vr not in EXPLICIT_VR_LENGTH_32):
        buffer = _buffer()
        write_data_element(buffer, element, charset)
        return buffer.getvalue()
    start = element.tag.group, element.tag.element, vr.encode()
    if vr in EXPLICIT_VR_LENGTH_32:  # PS3.5 7.1.2
        return _LONG.pack(*start, 0, len(value)) + value
    return _SHORT.pack(*start, len(value)) + value


def _simple_value(element: Element, charset: Charset) -> bytes | None:
    """The value field of bytes, of items and of a string in ASCII; None of others."""
    if isinstance(element, RawDataElement):
        return None if element.length == _UNDEFINED else element.value
    value, vr = element.value, element.VR
    if type(value) in (str, UID) and value.isascii():  # alike in every character set
        padded = str(value) + len(value) % 2 * ("\0" if vr == "UI" else " ")
        return padded.encode()
    if vr == "SQ" and not element.is_undefined_length:
        return b"".join(_as_item(one, charset) for one in value)
    return None


def _as_item(item: Dataset, charset: Charset) -> bytes:
    encoded = b"".join(encode_elements(item, sorted(item.keys()), charset).values())
    return _ITEM.pack(0xFFFE, 0xE000, len(encoded)) + encoded


def _buffer() -> DicomBytesIO:
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    return buffer


def as_read(encoded: bytes) -> Dataset:
    """An encoded data set as a receiver will read it, its bytes not yet parsed."""
    return read_dataset(BytesIO(encoded), is_implicit_VR=False, is_little_endian=True)


def read_file(encoded: bytes) -> FileDataset:
    """A complete file likewise."""
    return dcmread(BytesIO(encoded), force=True)


def as_file(data_set: bytes) -> FileDataset:
    """An encoded data set as read from a complete file."""
    dataset = as_read(data_set)
    add_file_meta(dataset)
    return read_file(encode(dataset))


def add_file_meta(dataset: Dataset) -> None:
    """File Meta Information (PS3.10 section 7.1), nothing in it but what is fixed."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(text_of(dataset, "SOPClassUID"))
    meta.MediaStorageSOPInstanceUID = UID(text_of(dataset, "SOPInstanceUID"))
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
