"""JPEG Lossless by libjpeg-turbo, where its answer accounts for all of the stream.

A plugin of pydicom's decoders (their guide: Decoding Plugins). libjpeg-turbo is several
times as fast as the other decoders, and fills in silently what a damaged stream lacks.
So only grey frames of the plainest kind are decoded here (no restart intervals, no
point transform), and then the lengths of all pixels' codes are added up: where the sum
is not the length of the stream, or its last bits are not the code of the last pixel, it
is damaged or was decoded wrongly, and the frame is left to the other decoders. Markers
and codes are those of ITU-T T.81.
"""

from __future__ import annotations

import importlib.util
import struct
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from pydicom.uid import JPEGLossless, JPEGLosslessSV1

from model.pixels.errors import Doubtful

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from pydicom.pixels.decoders.base import DecodeRunner

    Samples = NDArray[np.unsignedinteger]

LABEL = "libjpeg-turbo"
SYNTAXES = (JPEGLossless, JPEGLosslessSV1)
DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("imagecodecs",))

_SOF3, _DHT, _SOI, _EOI, _SOS = 0xC3, 0xC4, 0xD8, 0xD9, 0xDA
_FIRST_APP, _COMMENT = 0xE0, 0xFE
_LONGEST_CODE, _MOST_BITS = 16, 16
_BYTE = 8
_ABOVE, _CORNER, _MOST_SELECTIONS = 2, 3, 7
_NO_CODE = 255
_AT_ONCE = 1 << 16  # pixels, so that what is looked up stays in the cache


class Codes(NamedTuple):
    """A Huffman table: the code of each category of differences, and its bits."""

    sizes: NDArray[np.uint8]
    words: Sequence[int]


@dataclass(frozen=True)
class Scan:
    """What the headers say; ``data``: where the entropy-coded bytes begin and end."""

    precision: int
    rows: int
    columns: int
    selection: int
    codes: Codes
    data: tuple[int, int]


def is_available(uid: str) -> bool:
    """Whether frames of this transfer syntax can be decoded here."""
    return uid in SYNTAXES and importlib.util.find_spec("imagecodecs") is not None


def decode_frame(src: bytes, runner: DecodeRunner) -> bytes:
    """The samples of a frame, of the size that Bits Allocated says.

    Raises Doubtful for all that is not plain and sound, RuntimeError for what
    libjpeg-turbo refuses.
    """
    from imagecodecs import jpeg8_decode  # noqa: PLC0415  # it may not be installed

    scan = scan_of(src)
    n_bits = _BYTE if scan.precision <= _BYTE else 2 * _BYTE
    said = runner.rows, runner.columns, runner.samples_per_pixel, runner.bits_allocated
    if said != (scan.rows, scan.columns, 1, n_bits):
        raise Doubtful("the header of the object says something else")
    if min(scan.rows, scan.columns) < 2:  # noqa: PLR2004
        raise Doubtful("too small to be worth it")
    image = jpeg8_decode(src)
    if image.shape != (scan.rows, scan.columns) or int(image.max()) >> scan.precision:
        raise Doubtful("samples beyond the precision")
    left = _n_bits(src, scan.data) - coded_bits(image, scan)
    if not 0 <= left < _BYTE or not _ends_with(src, left, image, scan):
        raise Doubtful("the stream has another length than its pixels")
    return cast(bytes, image.data.cast("B"))  # any buffer will do


def scan_of(src: bytes) -> Scan:
    """The headers of a stream with one scan of one component; raises Doubtful."""
    tables: dict[int, Codes] = {}
    frame: tuple[int, ...] = ()
    for marker, first, end in _segments(src):
        if marker == _SOF3 and end - first == 9:  # noqa: PLR2004  # of one component
            frame = struct.unpack_from(">BHHB", src, first)
        elif marker == _DHT:
            tables |= _tables(src[first:end])
        elif marker == _SOS and end - first == 6 and frame:  # noqa: PLR2004
            _, _, table, selection, _, transform = src[first:end]
            codes = tables.get(table >> 4)
            if codes is None or transform or not 0 < selection <= _MOST_SELECTIONS:
                break
            precision, rows, columns, _ = frame
            data = end, _end(src, end)
            return Scan(precision, rows, columns, selection, codes, data)
        elif marker != _COMMENT and not _FIRST_APP <= marker < _FIRST_APP + 16:
            break
    raise Doubtful("not a plain grey JPEG Lossless stream")


def _segments(src: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, first byte and end of each marker segment (T.81 B.1.1.4)."""
    place = 2
    if src[:place] != bytes([0xFF, _SOI]):
        return
    while place + 4 <= len(src) and src[place] == 0xFF:  # noqa: PLR2004
        _, marker, length = struct.unpack_from(">BBH", src, place)
        end = place + 2 + length
        if length < 2 or end > len(src):  # noqa: PLR2004
            return
        yield marker, place + 4, end
        place = end


def _tables(segment: bytes) -> dict[int, Codes]:
    """Huffman tables by class and number (T.81 B.2.4.2)."""
    found = {}
    while segment:
        name, counts = segment[0], segment[1 : 1 + _LONGEST_CODE]
        categories = segment[1 + _LONGEST_CODE :][: sum(counts)]
        if len(categories) < sum(counts) or max(categories, default=0) > _MOST_BITS:
            raise Doubtful("a Huffman table is cut off")
        found[name] = _codes(counts, categories)
        segment = segment[1 + _LONGEST_CODE + len(categories) :]
    return found


def _codes(counts: bytes, categories: bytes) -> Codes:
    """The codes that these numbers of codes of each length make (T.81 C.2)."""
    sizes, words = np.full(_MOST_BITS + 1, _NO_CODE, np.uint8), [0] * (_MOST_BITS + 1)
    word, left = 0, iter(categories)
    for size, count in enumerate(counts, 1):
        for category in islice(left, count):
            sizes[category], words[category] = size, word
            word += 1
        word <<= 1
    return Codes(sizes, words)


def _end(src: bytes, first: int) -> int:
    """Where the end marker and its fill bytes begin, with only padding behind."""
    end = src.rfind(bytes([0xFF, _EOI]), first)
    if end < 0 or src[end + 2 :].strip(b"\0"):
        raise Doubtful("the stream has no end")
    while end > first and src[end - 1] == 0xFF:  # noqa: PLR2004  # T.81 B.1.1.2
        end -= 1
    return end


def _n_bits(src: bytes, data: tuple[int, int]) -> int:
    """Bits between the headers and the end, without what is stuffed (T.81 F.1.2.3)."""
    n_stuffed = src.count(b"\xff\x00", *data)
    if src.count(b"\xff", *data) != n_stuffed:
        raise Doubtful("a marker among the pixels")
    return (data[1] - data[0] - n_stuffed) * _BYTE


def coded_bits(image: Samples, scan: Scan) -> int:
    """Bits that the codes of all pixels take together (T.81 H.1.2.1, H.1.2.2)."""
    lengths = _lengths(scan.codes.sizes)
    start = 1 << (scan.precision - 1)
    edge = np.concatenate([[start], image[:-1, 0]]).astype(np.uint16)
    first = image[:1].astype(np.uint16)
    n_bits = int(lengths[image[:, 0].astype(np.uint16) - edge].sum(dtype=np.int64))
    n_bits += int(lengths[first[:, 1:] - first[:, :-1]].sum(dtype=np.int64))
    step = max(1, _AT_ONCE // scan.columns)
    for row in range(1, scan.rows, step):
        band = image[row - 1 : row + step].astype(np.uint16, copy=False)
        differences = band[1:, 1:] - _predicted(band, scan.selection)
        n_bits += int(np.take(lengths, differences, mode="clip").sum(dtype=np.uint32))
    return n_bits


def _ends_with(src: bytes, left: int, image: Samples, scan: Scan) -> bool:
    """Whether the code of the last pixel stands before the last ``left`` bits."""
    corner = image[-2:, -2:].astype(np.uint16)
    difference = int((corner[1:, 1:] - _predicted(corner, scan.selection))[0, 0])
    category = min(difference, (1 << 16) - difference).bit_length()
    added = category % 16
    size = int(scan.codes.sizes[category]) + added
    negative = difference >> 15
    rest = (difference - negative) & ((1 << added) - 1)
    tail = src[max(scan.data[0], scan.data[1] - 4 * _BYTE) : scan.data[1]].replace(
        b"\xff\x00", b"\xff"
    )[-_BYTE:]
    stands = int.from_bytes(tail) >> left & ((1 << size) - 1)
    return stands == scan.codes.words[category] << added | rest


def _lengths(sizes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bits of each difference modulo 65536: its code and what is added to it."""
    every = np.arange(1 << 16)
    category = np.frexp(np.minimum(every, (1 << 16) - every))[1]
    added = np.where(category > 15, 0, category)  # noqa: PLR2004  # T.81 H.1.2.2
    return np.minimum(sizes[category] + added, _NO_CODE).astype(np.uint8)


def _predicted(band: NDArray[np.uint16], selection: int) -> NDArray[np.uint16]:
    """Of all but the first row and column, modulo 65536 (T.81 table H.1)."""
    if selection == 1:
        return band[1:, :-1]
    if selection in (_ABOVE, _CORNER):
        return band[:-1, 1:] if selection == _ABOVE else band[:-1, :-1]
    left, above, corner = (
        one.astype(np.int32) for one in (band[1:, :-1], band[:-1, 1:], band[:-1, :-1])
    )
    match selection:
        case 4:
            found = left + above - corner
        case 5:
            found = left + ((above - corner) >> 1)
        case 6:
            found = above + ((left - corner) >> 1)
        case _:
            found = (left + above) >> 1
    return found.astype(np.uint16)
