"""Words for series: their slices, what a bundle wants of them, what was analysed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class SeriesInput:
    """What a bundle wants of a series; see `input.series` in docs/models.md."""

    n_slices: int = 0
    """At most; 0 reads all."""
    central_fraction: float = 1.0
    stack_depth: int = 1
    min_slices: int = 1
    max_series: int = 1
    planes: tuple[str, ...] = ()
    slice_thickness_mm: tuple[float, float] | None = None
    kernels: tuple[str, ...] = ()
    """Upper case."""
    derived: bool = False
    """Whether reformats and other derived series are taken."""
    max_missing_fraction: float = 0.1
    max_tilt_degrees: float = 30.0
    has_windows: bool = False
    match: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Keyword -> upper case patterns, of which one must fit; "" fits an absent one."""
    exclude: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The same, of which none may fit."""


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """What the header says of one slice; None and empty where it says nothing.

    ``frame`` counts from 0. ``position`` and ``orientation`` (row, then column
    direction) as in PS3.3 C.7.6.2, millimetres. ``phase`` parts what may lie at the
    same position: acquisition, echo, temporal position. ``station`` is the machine;
    ``facts`` are the values, as text, of the attributes that the bundle asks for.
    """

    frame: int = 0
    n_frames: int = 1
    position: Vector | None = None
    orientation: tuple[Vector, Vector] | None = None
    spacing: tuple[float, ...] = ()
    thickness: float | None = None
    rows: int = 0
    columns: int = 0
    number: int = 0
    phase: tuple[str, ...] = ()
    image_type: tuple[str, ...] = ()
    kernel: str = ""
    units: str = ""
    station: str = ""
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice in its place in the series.

    ``number`` counts from 1 along the normal of the slices; ``position_mm`` is the
    distance along it, None where headers give no position.
    """

    sop_instance_uid: str
    header: SliceHeader
    number: int
    position_mm: float | None = None

    @property
    def frame_number(self) -> int | None:
        """As DICOM counts, from 1; None for an object of one frame."""
        return self.header.frame + 1 if self.header.n_frames > 1 else None


@dataclass(frozen=True, slots=True)
class Volume:
    """The slices of a series in order, and which of them are to be read."""

    series_instance_uid: str
    title: str
    slices: tuple[Slice, ...]
    wanted: tuple[int, ...]
    """Indices into ``slices``, ascending."""
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeySlice:
    """A slice that drove a finding, with its own probability (0 to 1)."""

    sop_instance_uid: str
    number: int
    probability: float
    frame_number: int | None = None
    position_mm: float | None = None


@dataclass(frozen=True, slots=True)
class AnalysedSeries:
    """Which series was analysed, and how much of it."""

    series_instance_uid: str
    title: str
    n_slices: int
    n_read: int
    remarks: tuple[str, ...] = ()
