"""File -> Dataset, also without the preamble."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from model.pixels.errors import UnsupportedPixels

if TYPE_CHECKING:
    from pydicom import FileDataset

_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    struct.error,
    NotImplementedError,
    BytesLengthException,
    InvalidDicomError,
)


def read(source: str | Path | BinaryIO) -> FileDataset:
    """Read a DICOM file, its path or an open binary file.

    A missing preamble or file meta information (PS3.10 7.1) is tolerated; the transfer
    syntax is then what the reader found it to be. Raises UnsupportedPixels when it is
    not DICOM at all, FileNotFoundError when there is no such file.
    """
    try:
        ds = pydicom.dcmread(source, force=True)
    except FileNotFoundError:
        raise
    except _UNREADABLE as error:
        raise UnsupportedPixels(
            f"this is not a readable DICOM file ({type(error).__name__}): send it again"
        ) from error
    if not len(ds):
        raise UnsupportedPixels("this file holds no DICOM dataset: send another one")
    if "TransferSyntaxUID" not in ds.file_meta:
        ds.file_meta.TransferSyntaxUID = _found_encoding(ds)
    return ds


def _found_encoding(ds: FileDataset) -> UID:
    implicit, little = ds.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian
