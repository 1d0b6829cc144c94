"""Which of pydicom's decoders is asked first; the others where that one declines.

All give the same pixels. By itself pydicom asks GDCM first, whose Python interface
hands over a frame as text, which takes half as long again as the decoding.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from pydicom.errors import BytesLengthException
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels, pixel_array

from model.pixels import jpeg2000, jpeg_ls, lossless

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    import numpy as np
    from numpy.typing import NDArray
    from pydicom import Dataset
    from pydicom.uid import UID

CANNOT_DECODE = (
    ValueError,
    RuntimeError,
    AttributeError,
    NotImplementedError,
    TypeError,
    OSError,
    LookupError,
    ArithmeticError,
    EOFError,
    struct.error,
    BytesLengthException,
)
_FIRST = {
    **dict.fromkeys(lossless.SYNTAXES, lossless.LABEL),
    **dict.fromkeys(jpeg_ls.SYNTAXES, jpeg_ls.LABEL),
    **dict.fromkeys(jpeg2000.SYNTAXES, jpeg2000.LABEL),
}
_IN_TURN = ""
"""The decoders in pydicom's order, until one does it."""

for _syntax in jpeg_ls.SYNTAXES:
    get_decoder(_syntax).remove_plugin(jpeg_ls.LABEL)  # pydicom's own, which may hang
for _ours in (lossless, jpeg_ls, jpeg2000):
    for _syntax in _ours.SYNTAXES:
        get_decoder(_syntax).add_plugin(_ours.LABEL, (_ours.__name__, "decode_frame"))


def decoded_frame(
    ds: Dataset, frame: int, syntax: UID | None, options: dict[str, Any]
) -> NDArray[np.generic]:
    """The stored values of a frame; raises one of CANNOT_DECODE, or MemoryError."""
    first = _first(syntax)
    if first:
        try:
            return pixel_array(ds, index=frame, decoding_plugin=first, **options)
        except CANNOT_DECODE:
            pass  # what the others say of it counts
    return pixel_array(ds, index=frame, **options)


def decoded_frames(
    file: BinaryIO, frames: Sequence[int], syntax: UID | None, options: dict[str, Any]
) -> Iterator[NDArray[np.generic]]:
    """The same for some frames of a file, in order."""
    left = list(frames)
    try:
        for found in _frames(file, left, _first(syntax), options):
            yield found
            left = left[1:]
    except CANNOT_DECODE:
        yield from _frames(file, left, _IN_TURN, options)


def _frames(
    file: BinaryIO, frames: list[int], plugin: str, options: dict[str, Any]
) -> Iterator[NDArray[np.generic]]:
    file.seek(0)
    yield from iter_pixels(file, indices=frames, decoding_plugin=plugin, **options)


def _first(syntax: UID | None) -> str:
    """The decoder to ask first, if it is installed."""
    name = _FIRST.get(syntax) if syntax is not None else None
    if syntax is None or name not in get_decoder(syntax).available_plugins:
        return _IN_TURN
    return name
