"""A series on the disk, its slices in order: a folder of files, or a multi-frame file.

Slices are shown by `model.pixels.windowed_frames`, as in service, between the
neighbours that they have in their series.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pydicom
import torch
from torchvision.transforms.v2 import functional as v2

from model import pixels
from model.data.cache import cached
from model.data.files import series_files, unchanged
from model.data.manifest import ManifestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from model.data.manifest import Row

    Ranges = tuple[tuple[float, float], ...]

_TAGS = [
    "SeriesInstanceUID",
    "ImageType",
    "NumberOfFrames",
    "Rows",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
_MOST_PIXELS = 1 << 28
_SCOUTS = frozenset({"LOCALIZER", "SCOUT"})
_SAME_PLACE_MM = 0.01


class Place(NamedTuple):
    """A slice: its file, and its frame in it (from 0)."""

    path: Path
    frame: int


@dataclass(frozen=True)
class Look:
    """How slices are shown: through windows (centre, width) in modality values, one
    channel each (none: by their own), each with its neighbours, ``depth`` in all.
    percentiles: windows are (low, high) percentiles of each slice instead.

    n_slices: so many are read, evenly over the central fraction of the series; 0: all.
    """

    windows: Ranges = ()
    depth: int = 1
    n_slices: int = 0
    central_fraction: float = 1.0
    percentiles: bool = False

    @property
    def channels(self) -> int:
        """Of a stack."""
        return max(1, len(self.windows)) * self.depth

    def read(self, path: Path) -> list[int]:
        """Which slices of a series are read."""
        return spread(len(slices_of(path)), self.n_slices, self.central_fraction)


@lru_cache(maxsize=32)
def slices_of(path: Path) -> tuple[Place, ...]:
    """The slices of a series, along the normal of their planes; by Instance Number
    where headers give no position. Of several at one position the first counts.

    Raises ManifestError when there is none.
    """
    found = [one for file in series_files(path) for one in _places(file)]
    known = all(where is not None for _, where, _ in found)
    found.sort(key=lambda one: ((one[1] or 0.0) if known else 0.0, one[2]))
    kept: list[Place] = []
    last = None
    for place, where, _ in found:
        if last is None or where is None or where - last > _SAME_PLACE_MM or not known:
            kept.append(place)
            last = where
    if not kept:
        raise ManifestError(f"{path.name} holds no slices: leave this series out")
    return tuple(kept)


def spread(n_slices: int, n_read: int, central_fraction: float = 1.0) -> list[int]:
    """Which of so many slices are read, as service chooses them: the middle of each
    equal part of the span; n_read 0: all of it. A short series repeats slices.
    """
    n_span = max(1, round(n_slices * central_fraction))
    first = (n_slices - n_span) // 2
    n = n_read or n_span
    return [first + (2 * i + 1) * n_span // (2 * n) for i in range(n)]


def stacks(path: Path, indices: Sequence[int], look: Look) -> list[NDArray[np.uint8]]:
    """uint8 (channels, rows, columns) for each index: a slice between its neighbours;
    at the ends, and for a neighbour of another size, the slice itself.

    Every file is opened once. Raises UnsupportedPixels.
    """
    places = slices_of(path)
    around = [_around(index, look.depth, len(places)) for index in indices]
    shown = _shown(places, sorted({n for some in around for n in some}), look)
    return [_joined([shown[number] for number in some]) for some in around]


def _joined(planes: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    own = planes[len(planes) // 2]
    return np.concatenate([x if x.shape == own.shape else own for x in planes])


def _around(index: int, depth: int, n_slices: int) -> list[int]:
    half = depth // 2
    return [min(max(index + n, 0), n_slices - 1) for n in range(-half, half + 1)]


def _shown(
    places: Sequence[Place], numbers: Sequence[int], look: Look
) -> dict[int, NDArray[np.uint8]]:
    found: dict[int, NDArray[np.uint8]] = {}
    for path, some in groupby(numbers, key=lambda number: places[number].path):
        here = list(some)
        with path.open("rb") as file:
            planes = pixels.windowed_frames(
                file,
                [places[number].frame for number in here],
                look.windows,
                limits=pixels.Limits(_MOST_PIXELS, 2 * _MOST_PIXELS),
                percentiles=look.percentiles,
            )
            found |= dict(zip(here, planes, strict=True))
    return found


class Volumes:
    """Some slices of every series of a manifest, as uint8 squares in a cache file.

    ``batch`` gives (series, slices, channels, side, side).
    """

    def __init__(
        self,
        roots: Sequence[Path],
        rows: Sequence[Row],
        *,
        side: int,
        cache: Path,
        look: Look,
    ) -> None:
        self.rows = tuple(rows)
        self.n_slices = look.n_slices
        self._roots = tuple(roots)
        self._side = side
        self._look = look
        self._pixels = self._open(cache)

    def __len__(self) -> int:
        return len(self.rows)

    def batch(
        self, indices: Sequence[int], slices: NDArray[np.int64] | None = None
    ) -> torch.Tensor:
        """uint8 (series, slices, channels, side, side); slices: (series, n) of the
        cached ones, all by default.
        """
        if slices is None:
            slices = np.tile(np.arange(self.n_slices), (len(indices), 1))
        return torch.from_numpy(self._pixels[np.asarray(indices)[:, None], slices])

    def _open(self, cache: Path) -> NDArray[np.uint8]:
        about, side = (self._side, self._look), self._side
        each = "".join(f"{row.path}{row.sha256}" for row in self.rows)
        key = hashlib.sha256(f"{about}{each}".encode()).hexdigest()
        path, channels = cache / f"{key[:24]}.npy", self._look.channels
        n_planes = self.n_slices * channels
        flat = cached(path, len(self.rows), side, self._squares, channels=n_planes)
        return flat.reshape(len(self.rows), self.n_slices, channels, side, side)

    def _squares(self, index: int) -> NDArray[np.uint8]:
        """Every kept slice of a series, uint8 (slices x channels, side, side)."""
        row = self.rows[index]
        path = unchanged(row, self._roots)
        try:
            found = stacks(path, self._look.read(path), self._look)
        except pixels.UnsupportedPixels as error:
            raise ManifestError(f"{row.path}: {error}; leave it out") from error
        return np.concatenate([_squared(one, self._side) for one in found])


def _squared(planes: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Squeezed to squares, as the images of a manifest are."""
    whole = torch.from_numpy(planes).float()
    square = v2.resize(whole, [side, side], antialias=True)
    return np.asarray(square.round().clamp(0, 255).numpy(), np.uint8)


def _places(path: Path) -> list[tuple[Place, float | None, int]]:
    """(slice, distance along the normal in mm, number) of each slice of a file."""
    ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
    if _SCOUTS & set(ds.get("ImageType") or ()):
        return []
    n_frames = int(ds.get("NumberOfFrames") or 1)
    number = int(ds.get("InstanceNumber") or 0)
    return [
        (Place(path, frame), _distance(ds, frame), number if n_frames == 1 else frame)
        for frame in range(n_frames)
    ]


def _distance(ds: Any, frame: int) -> float | None:
    groups = list(ds.get("PerFrameFunctionalGroupsSequence") or ())[frame : frame + 1]
    groups += list(ds.get("SharedFunctionalGroupsSequence") or ())[:1]
    items = [one.value[0] for g in groups for one in g if one.VR == "SQ" and one.value]
    position = _first([*items, ds], "ImagePositionPatient")
    turned = _first([*items, ds], "ImageOrientationPatient")
    if position is None or turned is None:
        return None
    axes = np.asarray(turned, np.float64)
    return float(np.cross(axes[:3], axes[3:]) @ np.asarray(position, np.float64))


def _first(places: Sequence[Any], keyword: str) -> Any:
    return next((one.get(keyword) for one in places if one.get(keyword)), None)
