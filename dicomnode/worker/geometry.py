"""Slices into a volume: in order, checked, and which of them are read. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import atan2, degrees, hypot
from statistics import median

from dicomnode.domain.series import SeriesInput, Slice, SliceHeader, Vector, Volume

Located = tuple[str, SliceHeader]
"""SOP Instance UID and the header of one slice."""

_PARALLEL = 0.99985
"""Cosine of one degree."""

_SAME_PLACE_MM = 0.01
_GAP = 1.5
"""Of the usual distance of two slices: more is a gap."""

_UPRIGHT_DEGREES = 1.0
_PLANES = ("sagittal", "coronal", "axial")
"""By the axis that the normal is nearest to (PS3.3 C.7.6.2.1.1: x to the left, y to the
back, z to the head)."""


@dataclass(frozen=True, slots=True)
class Named:
    """What a series is called in reports."""

    series_instance_uid: str
    title: str


def volume_of(
    named: Named, located: Sequence[Located], wanted: SeriesInput
) -> Volume | str:
    """The slices in order with those to be read, or why they make no volume."""
    remarks: list[str] = []
    slices = _alike([one for one in located if not _is_scout(one[1])], remarks)
    if 2 * len(slices) <= len(located):
        return "its slices differ in orientation or size, so they make no volume"
    slices = _one_phase(_sorted(slices), remarks)
    why = _why_short(slices, wanted) or _why_plane(slices, wanted)
    why = why or _why_gaps(slices, wanted, remarks)
    why = why or _why_tilt(slices, wanted, remarks)
    if why:
        return why
    placed = tuple(
        Slice(uid, header, number, _place(header))
        for number, (uid, header) in enumerate(slices, 1)
    )
    indices = _to_read(len(placed), wanted)
    return Volume(
        named.series_instance_uid, named.title, placed, indices, tuple(remarks)
    )


def normal_of(header: SliceHeader) -> Vector | None:
    """Row direction x column direction, None without an orientation."""
    if header.orientation is None:
        return None
    (a, b, c), (d, e, f) = header.orientation
    return b * f - c * e, c * d - a * f, a * e - b * d


def _is_scout(header: SliceHeader) -> bool:
    return any(one in ("LOCALIZER", "SCOUT") for one in header.image_type)


def _alike(located: Sequence[Located], remarks: list[str]) -> list[Located]:
    """The largest group of one size and orientation."""
    groups: list[list[Located]] = []
    for one in located:
        home = next((some for some in groups if _matches(some[0][1], one[1])), None)
        if home is None:
            groups.append([one])
        else:
            home.append(one)
    best = max(groups, key=len, default=[])
    if len(best) < len(located):
        n_others = len(located) - len(best)
        remarks.append(f"{n_others} slices of another orientation or size left out")
    return best


def _matches(one: SliceHeader, other: SliceHeader) -> bool:
    if (one.rows, one.columns) != (other.rows, other.columns):
        return False
    if len(one.spacing) != len(other.spacing) or any(
        abs(a - b) > _SAME_PLACE_MM
        for a, b in zip(one.spacing, other.spacing, strict=True)
    ):
        return False
    first, second = one.orientation, other.orientation
    if first is None or second is None:
        return first is second
    return all(_dot(a, b) > _PARALLEL for a, b in zip(first, second, strict=True))


def _place(header: SliceHeader) -> float | None:
    """Distance along the normal in mm."""
    normal = normal_of(header)
    if normal is None or header.position is None:
        return None
    return _dot(normal, header.position)


def _sorted(slices: Sequence[Located]) -> list[Located]:
    """By position; by number where any has no position."""
    places = [_place(header) for _, header in slices]
    known = all(place is not None for place in places)

    def order(pair: tuple[Located, float | None]) -> tuple[float, int, int, str]:
        (uid, header), place = pair
        return (place or 0.0) if known else 0.0, header.number, header.frame, uid

    return [one for one, _ in sorted(zip(slices, places, strict=True), key=order)]


def _one_phase(slices: list[Located], remarks: list[str]) -> list[Located]:
    """No two at the same position: one acquisition, echo or time of several."""
    if not _repeated(slices):
        return slices
    phases: dict[tuple[str, ...], list[Located]] = defaultdict(list)
    for one in slices:
        phases[one[1].phase].append(one)
    whole = [some for some in phases.values() if not _repeated(some)]
    if len(phases) > 1 and len(whole) == len(phases):
        best = max(whole, key=len)
        remarks.append(f"{len(phases)} phases or echoes, one of them analysed")
        return best
    repeated = _repeated(slices)
    remarks.append(f"{len(repeated)} slices at a position seen before left out")
    return [one for index, one in enumerate(slices) if index not in repeated]


def _repeated(slices: Sequence[Located]) -> set[int]:
    """Indices of the sorted slices that lie where the one before lies."""
    places = [_place(header) for _, header in slices]
    found, last = set[int](), None
    for index, place in enumerate(places):
        if place is None:
            continue
        if last is not None and place - last <= _SAME_PLACE_MM:
            found.add(index)
        else:
            last = place
    return found


def _why_short(slices: Sequence[Located], wanted: SeriesInput) -> str:
    n, least = len(slices), wanted.min_slices
    return f"{n} slices are fewer than the model needs ({least})" if n < least else ""


def _why_plane(slices: Sequence[Located], wanted: SeriesInput) -> str:
    normal = normal_of(slices[0][1])
    if not wanted.planes or normal is None:
        return ""
    along = [abs(one) for one in normal]
    plane = _PLANES[along.index(max(along))]
    return (
        ""
        if plane in wanted.planes
        else f"{plane} slices are not what the model "
        + (f"was made for ({', '.join(wanted.planes)})")
    )


def _why_gaps(
    slices: Sequence[Located], wanted: SeriesInput, remarks: list[str]
) -> str:
    places = [place for _, one in slices if (place := _place(one)) is not None]
    steps = [b - a for a, b in pairwise(places)]
    if len(places) < len(slices):
        remarks.append("headers give no position; slices are ordered by their number")
        return ""
    if not steps:
        return ""
    usual = median(steps)
    n_missing = sum(round(one / usual) - 1 for one in steps if one > _GAP * usual)
    if not n_missing:
        return ""
    total = len(slices) + n_missing
    said = (
        f"{n_missing} of {total} slices are missing (largest gap {max(steps):.1f} mm, "
        f"usual distance {usual:.1f} mm)"
    )
    if n_missing > wanted.max_missing_fraction * total:
        return said
    remarks.append(said)
    return ""


def _why_tilt(
    slices: Sequence[Located], wanted: SeriesInput, remarks: list[str]
) -> str:
    tilt = _tilt_degrees(slices[0][1], slices[-1][1])
    if tilt < _UPRIGHT_DEGREES:
        return ""
    said = f"the slices are tilted by {tilt:.0f} degrees against their stack"
    if tilt > wanted.max_tilt_degrees:
        return f"{said}, the model takes {wanted.max_tilt_degrees:g}"
    remarks.append(said)
    return ""


def _tilt_degrees(first: SliceHeader, last: SliceHeader) -> float:
    """Between the normal and the line on which the slices follow each other."""
    normal = normal_of(first)
    if normal is None or first.position is None or last.position is None:
        return 0.0
    way = tuple(b - a for a, b in zip(first.position, last.position, strict=True))
    along = _dot(normal, way)
    aside = hypot(*(w - along * n for w, n in zip(way, normal, strict=True)))
    return degrees(atan2(aside, abs(along))) if along else 0.0


def _to_read(n_slices: int, wanted: SeriesInput) -> tuple[int, ...]:
    """Evenly over the span; the middle of each equal part of it."""
    n_span = max(1, round(n_slices * wanted.central_fraction))
    first = (n_slices - n_span) // 2
    n_read = min(wanted.n_slices or n_span, n_span)
    return tuple(first + (2 * i + 1) * n_span // (2 * n_read) for i in range(n_read))


def _dot(one: Iterable[float], other: Iterable[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))
