"""Deterministic bytes: the same data set, the same file (PS3.10, Explicit VR LE)."""

from __future__ import annotations

from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import dcmwrite, write_dataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicomnode.results.charset import text_of
from dicomnode.version import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME


def encode(dataset: Dataset) -> bytes:
    """A complete DICOM file; ``dataset`` needs its file meta."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def encode_data_set(dataset: Dataset) -> bytes:
    """The data set alone, as it travels in a C-STORE, in Explicit VR Little Endian."""
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def as_read(encoded: bytes) -> FileDataset:
    """An encoded object as a receiver will read it, with its bytes not yet parsed.

    encoded: a complete file, or a data set alone.
    """
    return dcmread(BytesIO(encoded), force=True)


def as_file(data_set: bytes) -> FileDataset:
    """An encoded data set as read from a complete file."""
    dataset = as_read(data_set)
    add_file_meta(dataset)
    return as_read(encode(dataset))


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
