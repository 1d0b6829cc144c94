"""Headers of stored instances, read with bounds: anyone may have sent them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from dicomnode.errors import StoreUnreachable

MOST_BYTES = 16 << 20
"""What the header of a deflated object may inflate to; its pixels come after."""

_FILE_META = 0x0002
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    RecursionError,
    NotImplementedError,
    struct.error,
    zlib.error,
    BytesLengthException,
    InvalidDicomError,
)


def read(open_file: Callable[[], BinaryIO], transfer_syntax_uid: str) -> Dataset | None:
    """All before the pixels; None when it cannot be read.

    Raises StoreUnreachable: that says nothing of the instance.
    """
    try:
        with open_file() as file:
            if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
                return _deflated(file)
            return dcmread(file, stop_before_pixels=True, force=True)
    except StoreUnreachable:
        raise
    except _UNREADABLE:
        return None


def _deflated(file: BinaryIO) -> Dataset:
    """pydicom would inflate the whole of it (PS3.5 A.5)."""
    read_preamble(file, force=True)
    read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag.group != _FILE_META,
    )
    inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), MOST_BYTES)
    return dcmread(BytesIO(inflated), stop_before_pixels=True, force=True)
