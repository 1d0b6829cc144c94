"""What a decoder process does with the files of a series, several at once."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue

from dicomnode.decoder.decoding import STATION, Undecodable, station_of
from dicomnode.decoder.prepared import PreparedPlanes, Wanted
from dicomnode.domain.series import SliceHeader, Vector
from model import pixels

Planes = NDArray[np.uint8]
"""(windows, rows, columns), see `model.pixels.windowed_frames`."""

_TAGS = (
    "AcquisitionNumber",
    "Columns",
    "ConvolutionKernel",
    "EchoTime",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "ImageType",
    "InstanceNumber",
    "NumberOfFrames",
    "PerFrameFunctionalGroupsSequence",
    "PixelSpacing",
    "RescaleType",
    "Rows",
    "SharedFunctionalGroupsSequence",
    "SliceThickness",
    "TemporalPositionIdentifier",
    *STATION,
)
_MOST_VALUES, _LONGEST_VALUE = 16, 64
_MOST_FRAMES = 10000
_DIRECTIONS, _AXES = 6, 3
_BROKEN = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def planes_of(
    file: BinaryIO,
    wanted: Wanted,
    max_pixels: int,
    heads: pixels.Heads | None = None,
) -> Sequence[Planes | PreparedPlanes] | Undecodable:
    """The wanted frames of a file, in order; ``heads`` as `model.pixels` says."""
    try:
        shown = pixels.windowed_frames(
            file,
            wanted.frames,
            wanted.windows,
            limits=pixels.Limits(max_pixels, 2 * max_pixels),
            percentiles=wanted.percentiles,
            heads=heads,
        )
        if wanted.preparation is None:
            return list(shown)
        return [
            PreparedPlanes.of(
                planes, wanted.preparation, measured=frame in wanted.measured
            )
            for frame, planes in zip(wanted.frames, shown, strict=True)
        ]
    except pixels.UnsupportedPixels as error:
        return Undecodable(str(error))
    except MemoryError:
        return Undecodable(
            "decoding takes more memory than worker.decode_memory_bytes allows: the "
            "object is damaged, or raise that limit"
        )


def survey(
    file: BinaryIO, keywords: Sequence[str] = ()
) -> list[SliceHeader] | Undecodable:
    """The header of every slice in a file; ``keywords`` go into its ``facts``."""
    try:
        file.seek(0)
        ds = dcmread(
            file,
            stop_before_pixels=True,
            force=True,
            specific_tags=[*_TAGS, *keywords],
        )
        return list(_slices(ds, keywords))
    except _BROKEN as error:
        return Undecodable(
            f"its header cannot be read ({type(error).__name__}): send it again"
        )


def to_words(headers: Sequence[SliceHeader]) -> list[dict[str, Any]]:
    """As they travel between processes."""
    return [asdict(one) for one in headers]


def from_words(words: Sequence[dict[str, Any]]) -> list[SliceHeader]:
    """What `to_words` gave; KeyError, TypeError or ValueError for what is not that."""
    return [_header(one) for one in words]


def _header(one: dict[str, Any]) -> SliceHeader:
    where, turned = one["position"], one["orientation"]
    return SliceHeader(
        frame=int(one["frame"]),
        n_frames=int(one["n_frames"]),
        position=None if where is None else _vector(where),
        orientation=None
        if turned is None
        else (_vector(turned[0]), _vector(turned[1])),
        spacing=tuple(float(number) for number in one["spacing"]),
        thickness=None if one["thickness"] is None else float(one["thickness"]),
        rows=int(one["rows"]),
        columns=int(one["columns"]),
        number=int(one["number"]),
        phase=tuple(str(word) for word in one["phase"]),
        image_type=tuple(str(word) for word in one["image_type"]),
        kernel=str(one["kernel"]),
        units=str(one["units"]),
        station=str(one["station"]),
        facts={
            str(name): tuple(str(word) for word in words)
            for name, words in one["facts"].items()
        },
    )


def _vector(numbers: Sequence[float]) -> Vector:
    x, y, z = (float(one) for one in numbers)
    return x, y, z


def _slices(ds: Dataset, keywords: Sequence[str]) -> Iterator[SliceHeader]:
    n_frames = max(1, int(ds.get("NumberOfFrames") or 1))
    if n_frames > _MOST_FRAMES:
        raise ValueError("more frames than any series has")
    station = station_of(ds)
    for frame in range(n_frames):
        places = _Places(ds, _groups(ds, frame))
        found = _slice(ds, places, frame, n_frames)
        yield replace(found, station=station, facts=_facts(places, keywords))


def _facts(places: _Places, keywords: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Of the attributes that are there and not empty."""
    found = {name: _values(places.find(name)) for name in keywords}
    return {name: words for name, words in found.items() if words}


def _values(value: Any) -> tuple[str, ...]:
    several = value if isinstance(value, MultiValue | list) else [value]
    words = [str(one).strip()[:_LONGEST_VALUE] for one in several if one is not None]
    return tuple(word for word in words[:_MOST_VALUES] if word)


def _groups(ds: Dataset, frame: int) -> list[Dataset]:
    """The items that hold for a frame: its own, then the shared (PS3.3 C.7.6.16)."""
    per_frame = ds.get("PerFrameFunctionalGroupsSequence") or []
    holders = [per_frame[frame]] if frame < len(per_frame) else []
    holders += list(ds.get("SharedFunctionalGroupsSequence") or [])[:1]
    return [
        element.value[0]
        for holder in holders
        for element in holder
        if element.VR == "SQ" and element.value
    ]


def _slice(ds: Dataset, places: _Places, frame: int, n_frames: int) -> SliceHeader:
    directions = _numbers(places, "ImageOrientationPatient", _DIRECTIONS)
    position = _numbers(places, "ImagePositionPatient", _AXES)
    thickness = _numbers(places, "SliceThickness", 1)
    number = _numbers(places, "InStackPositionNumber", 1) if n_frames > 1 else ()
    number = number or (() if n_frames > 1 else _numbers(places, "InstanceNumber", 1))
    return SliceHeader(
        frame=frame,
        n_frames=n_frames,
        position=_vector(position) if position else None,
        orientation=(_vector(directions[:_AXES]), _vector(directions[_AXES:]))
        if directions
        else None,
        spacing=_numbers(places, "PixelSpacing", 2),
        thickness=thickness[0] if thickness else None,
        rows=int(ds.get("Rows") or 0),
        columns=int(ds.get("Columns") or 0),
        number=int(number[0]) if number else frame,
        phase=tuple(_text(places, name) for name in _PHASES),
        image_type=_words(places, "FrameType") or _words(places, "ImageType"),
        kernel=_text(places, "ConvolutionKernel"),
        units=_text(places, "RescaleType").upper(),
    )


_PHASES = (
    "StackID",
    "AcquisitionNumber",
    "EchoTime",
    "EffectiveEchoTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "NominalCardiacTriggerDelayTime",
    "DiffusionBValue",
)


class _Places:
    """Where attributes of a frame may be: in its functional groups, then at the top.

    An Enhanced object has twenty groups for each of its frames: they are indexed.
    """

    def __init__(self, ds: Dataset, groups: Sequence[Dataset]) -> None:
        self._ds = ds
        self._by_tag: dict[int, list[Dataset]] = {}
        for group in groups:
            for tag in group.keys():  # noqa: SIM118 - a Dataset iterates its elements
                self._by_tag.setdefault(tag, []).append(group)

    def find(self, keyword: str) -> Any:
        """The first value that is not empty, or None."""
        tag = tag_for_keyword(keyword)
        if tag is None:
            return None
        places = (*self._by_tag.get(tag, ()), self._ds)
        values = (place[tag].value for place in places if tag in place)
        return next((one for one in values if one not in (None, "")), None)


def _numbers(places: _Places, keyword: str, count: int) -> tuple[float, ...]:
    """Exactly ``count`` finite numbers, or none."""
    value = places.find(keyword)
    if value is None:
        return ()
    several = value if isinstance(value, MultiValue | list) else [value]
    numbers = tuple(float(one) for one in several)
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else ()


def _words(places: _Places, keyword: str) -> tuple[str, ...]:
    value = places.find(keyword)
    several = value if isinstance(value, MultiValue | list) else [value or ""]
    return tuple(str(one).strip().upper() for one in several if str(one).strip())


def _text(places: _Places, keyword: str) -> str:
    return "/".join(_words(places, keyword))
