"""JPEG 2000 by OpenJPEG on several cores, which the other decoders but GDCM do not use.

A plugin of pydicom's decoders (their guide: Decoding Plugins) for grey frames; the
others are asked for what is not one. Like them it refuses a stream that is cut off.
"""

from __future__ import annotations

import importlib.util
import os
import struct
from typing import TYPE_CHECKING, cast

from pydicom.uid import JPEG2000, JPEG2000Lossless

from model.pixels.errors import Doubtful

if TYPE_CHECKING:
    from pydicom.pixels.decoders.base import DecodeRunner

LABEL = "openjpeg"
SYNTAXES = (JPEG2000Lossless, JPEG2000)
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("imagecodecs",))

_START = b"\xff\x4f\xff\x51"
_SIZ = struct.Struct(">4xHHIIII16xH")  # ITU-T T.800 A.5.1
_BYTE, _TWO_BYTES = 8, 16
_MOST_THREADS = 4
"""Each takes address space, of which a decoder has little."""


def is_available(uid: str) -> bool:
    """Whether frames of this transfer syntax can be decoded here."""
    return uid in SYNTAXES and importlib.util.find_spec("imagecodecs") is not None


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """The samples of a frame, of as many bytes as their precision needs.

    Raises Doubtful for what is not grey or says another size than the object,
    RuntimeError for what OpenJPEG refuses.
    """
    from imagecodecs import jpeg2k_decode  # noqa: PLC0415  # it may not be installed

    said = runner.rows, runner.columns, runner.samples_per_pixel
    if said != _size(src):
        raise Doubtful("the header of the object says something else")
    precision = int(runner.get_option("j2k_precision", runner.bits_stored))
    n_bits = _BYTE if precision <= _BYTE else _TWO_BYTES
    image = jpeg2k_decode(src, numthreads=n_threads())
    if image.shape != said[:2] or image.dtype.itemsize * _BYTE != n_bits:
        raise Doubtful("samples of another size")
    runner.set_option("bits_allocated", n_bits)
    return cast(bytes, image.data.cast("B"))  # any buffer will do


def n_threads() -> int:
    """As many as there are cores for this process, within reason."""
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    return min(os.cpu_count() or 1, _MOST_THREADS)


def _size(src: bytes) -> tuple[int, int, int]:
    """Rows, columns and components of a bare codestream; raises Doubtful."""
    if not src.startswith(_START) or len(src) < _SIZ.size:
        raise Doubtful("not a bare JPEG 2000 codestream")
    _, _, right, bottom, left, top, components = _SIZ.unpack_from(src)
    return bottom - top, right - left, components
