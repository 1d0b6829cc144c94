"""File -> Dataset, also without the preamble."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pydicom
from pydicom import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from model.pixels.errors import UnsupportedPixels
from model.pixels.layout import MOST_BYTES

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
    zlib.error,
    NotImplementedError,
    BytesLengthException,
    InvalidDicomError,
)


_PIECE_BYTES = 1 << 20
_FILE_META = 0x0002


def read(source: str | Path | BinaryIO, *, most_bytes: int = MOST_BYTES) -> FileDataset:
    """Read a DICOM file, its path or an open binary file.

    most_bytes: what a deflated dataset (PS3.5 A.5) may inflate to.

    A missing preamble or file meta information (PS3.10 7.1) is tolerated; the transfer
    syntax is then what the reader found it to be. Raises UnsupportedPixels when it is
    not DICOM at all, FileNotFoundError when there is no such file.
    """
    if isinstance(source, str | Path):
        with Path(source).open("rb") as file:
            return read(file, most_bytes=most_bytes)
    try:
        _check_inflated(source, most_bytes)
        ds = pydicom.dcmread(source, force=True)
    except UnsupportedPixels:
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


def _check_inflated(file: BinaryIO, most_bytes: int) -> None:
    """Raise UnsupportedPixels for a deflate bomb, before pydicom inflates all of it."""
    start = file.tell()
    bomb = is_deflated(file_meta(file)) and _inflates_beyond(file, most_bytes)
    file.seek(start)
    if bomb:
        raise UnsupportedPixels(
            f"this dataset inflates to more than the limit of {most_bytes} bytes:"
            " raise the limit if this is meant"
        )


def is_deflated(meta: Dataset) -> bool:
    """Whether the file meta information says so."""
    return bool(meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian)


def file_meta(file: BinaryIO) -> Dataset:
    """The file meta information (PS3.10 7.1), empty if there is none; the file is left
    after it.
    """
    if read_preamble(file, force=True) is None:
        return Dataset()
    return read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != _FILE_META,
    )


def _inflates_beyond(file: BinaryIO, most_bytes: int) -> bool:
    inflater, n_bytes = zlib.decompressobj(-zlib.MAX_WBITS), 0
    piece = file.read(_PIECE_BYTES)
    while piece and n_bytes <= most_bytes:
        n_bytes += len(inflater.decompress(piece, _PIECE_BYTES))
        piece = inflater.unconsumed_tail or file.read(_PIECE_BYTES)
    return n_bytes > most_bytes


def _found_encoding(ds: FileDataset) -> UID:
    implicit, little = ds.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian
