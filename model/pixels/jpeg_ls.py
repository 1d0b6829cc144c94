"""JPEG-LS by pyjpegls, which is asked only for a stream that is whole.

A plugin of pydicom's decoders in the place of its own (their guide: Decoding Plugins):
on some streams that are cut off pyjpegls never ends. Markers are those of ITU-T T.87.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pydicom.pixels.decoders import pyjpegls
from pydicom.uid import JPEGLSLossless, JPEGLSNearLossless

from model.pixels.errors import Doubtful

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

LABEL = "pyjpegls"
SYNTAXES = (JPEGLSLossless, JPEGLSNearLossless)
DECODER_DEPENDENCIES = pyjpegls.DECODER_DEPENDENCIES
CUT_OFF = "the JPEG-LS stream is cut off"

_START, _SCAN, _END = b"\xff\xd8", 0xDA, b"\xff\xd9"
_SEGMENT = struct.Struct(">BBH")  # 0xFF, marker, length of all but the marker


def is_available(uid: str) -> bool:
    """Whether frames of this transfer syntax can be decoded here."""
    return pyjpegls.is_available(uid)


def decode_frame(src: bytes, runner: DecodeRunner) -> bytearray:
    """The samples of a frame, of as many bytes as their precision needs.

    Raises Doubtful for a stream that is cut off, RuntimeError for what is refused.
    """
    if not is_whole(src):
        raise Doubtful(CUT_OFF)
    return pyjpegls._decode_frame(src, runner)  # noqa: SLF001  # what a plugin is


def is_whole(src: bytes) -> bool:
    """Whether there is a start, whole segments up to the first scan, and an end.

    Behind the end there may be padding (PS3.5 A.4). Within a scan 0xFF is followed by a
    byte below 0x80 (T.87 A.1), so that no pixels look like an end.
    """
    return src.startswith(_START) and 0 < _scan(src) < src.rstrip(b"\0").rfind(_END)


def _scan(src: bytes) -> int:
    """Where the pixels of the first scan begin; 0 when there is none."""
    place = len(_START)
    while place + _SEGMENT.size <= len(src):
        fill, marker, length = _SEGMENT.unpack_from(src, place)
        place += 2 + int(length)
        if fill != 0xFF or place > len(src):  # noqa: PLR2004  # T.81 B.1.1.2
            return 0
        if marker == _SCAN:
            return place
    return 0
