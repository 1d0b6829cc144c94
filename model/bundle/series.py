"""A bundle that is made for series: which slices, shown how, summed up how.

In bundle.json, under `input`: `"unit": "series"` and a table `series`. No torch here.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from pydicom.datadict import tag_for_keyword

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Span = Literal["all", "even", "central"]
Method = Literal["max", "top-k-mean", "noisy-or"]
Rules = tuple[tuple[str, tuple[str, ...]], ...]
"""Keyword -> upper case patterns; one of them fits, "" an absent attribute."""

PLANES = ("axial", "coronal", "sagittal")
_KEYS = frozenset(
    {
        "windows",
        "percentiles",
        "match",
        "exclude",
        "n_slices",
        "span",
        "central_fraction",
        "stack_depth",
        "min_slices",
        "max_series",
        "planes",
        "slice_thickness_mm",
        "kernels",
        "derived",
        "max_missing_fraction",
        "max_tilt_degrees",
        "aggregation",
    }
)
_WHOLE = 100
_MOST_SLICES, _MOST_DEPTH, _MOST_WINDOWS = 2000, 15, 8


@dataclass(frozen=True)
class Aggregation:
    """How the logits of the slices become one logit of the series.

    max: the largest. top-k-mean: the mean of the k largest. noisy-or: the logit of
    1 - product(1 - sigmoid(logit)), as if each slice were evidence by itself. The
    head's temperature calibrates what comes out.
    """

    method: Method = "max"
    k: int = 1


@dataclass(frozen=True)
class SeriesSpec:
    """What a series bundle wants.

    windows: (centre, width) in modality values (Hounsfield units for CT), one channel
    each; percentiles: (low, high) of each slice's own values instead (MR). Neither
    shows slices by their own VOI window, as single images are. match, exclude: keyword
    -> patterns that the header of a series must, or must not fit. n_slices:
    read at most, spread evenly over the span: `all` of the series or, for `central`,
    the middle `central_fraction` of its length; with span `all` every slice is read
    and n_slices is 0. stack_depth: neighbouring slices as channels, odd. min_slices:
    a shorter series is left out. planes, slice_thickness_mm (from, to) and kernels say
    which series is preferred; derived ones (reformats) are left out unless `derived`
    is true. max_missing_fraction: slices that gaps may hide.
    max_tilt_degrees: of the gantry.
    """

    windows: tuple[tuple[float, float], ...]
    n_slices: int
    span: Span
    central_fraction: float
    stack_depth: int
    min_slices: int
    max_series: int
    planes: tuple[str, ...]
    slice_thickness_mm: tuple[float, float] | None
    kernels: tuple[str, ...]
    derived: bool
    max_missing_fraction: float
    max_tilt_degrees: float
    aggregation: Aggregation
    percentiles: tuple[tuple[float, float], ...] = ()
    match: Rules = ()
    exclude: Rules = ()

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The windows, or the percentiles."""
        return self.percentiles or self.windows

    @property
    def n_planes(self) -> int:
        """Channels of one slice."""
        return max(1, len(self.ranges))

    @property
    def channels(self) -> int:
        """Of the network's input: the windows of each slice, slice by slice."""
        return self.n_planes * self.stack_depth

    def takes(self, facts: Mapping[str, Sequence[str]]) -> bool:
        """Whether match and exclude let a series pass. facts: keyword -> values."""

        def fits(keyword: str, patterns: Sequence[str]) -> bool:
            given = [value.upper() for value in facts.get(keyword, ())] or [""]
            return any(fnmatchcase(x, one) for x in given for one in patterns)

        return all(fits(*one) for one in self.match) and not any(
            fits(*one) for one in self.exclude
        )


def parse_series(item: Mapping[str, Any]) -> SeriesSpec | None:
    """`input` of bundle.json -> what it says of series; None for single images.

    Raises ValueError with the remedy.
    """
    unit = item.get("unit", "image")
    if unit not in ("image", "series"):
        raise ValueError(f"input.unit is {unit!r}: write 'image' or 'series'")
    if unit == "image":
        if "series" in item:
            raise ValueError("input.series needs input.unit = 'series': add it")
        return None
    stored: dict[str, Any] = item.get("series") or {}
    if not stored:
        raise ValueError("input.unit 'series' needs a table input.series: add it")
    unknown = sorted(set(stored) - _KEYS)
    if unknown:
        raise ValueError(
            f"input.series.{unknown[0]} is unknown: use {', '.join(sorted(_KEYS))}"
        )
    return _checked(_read(stored))


def _read(stored: Mapping[str, Any]) -> SeriesSpec:
    thickness = stored.get("slice_thickness_mm")
    return SeriesSpec(
        windows=tuple(_pair(one, "windows") for one in stored.get("windows", ())),
        n_slices=int(stored.get("n_slices", 0)),
        span=stored.get("span", "even" if stored.get("n_slices") else "all"),
        central_fraction=float(stored.get("central_fraction", 1)),
        stack_depth=int(stored.get("stack_depth", 1)),
        min_slices=int(stored.get("min_slices", 1)),
        max_series=int(stored.get("max_series", 1)),
        planes=tuple(str(one).lower() for one in stored.get("planes", ())),
        slice_thickness_mm=None
        if thickness is None
        else _pair(thickness, "slice_thickness_mm"),
        kernels=tuple(str(one).upper() for one in stored.get("kernels", ())),
        derived=bool(stored.get("derived", False)),
        max_missing_fraction=float(stored.get("max_missing_fraction", 0.1)),
        max_tilt_degrees=float(stored.get("max_tilt_degrees", 30)),
        aggregation=_aggregation(stored.get("aggregation", {})),
        percentiles=tuple(
            _pair(one, "percentiles") for one in stored.get("percentiles", ())
        ),
        match=_patterns(stored, "match"),
        exclude=_patterns(stored, "exclude"),
    )


def _patterns(stored: Mapping[str, Any], key: str) -> Rules:
    found: list[tuple[str, tuple[str, ...]]] = []
    for keyword, given in stored.get(key, {}).items():
        if tag_for_keyword(keyword) is None:
            raise ValueError(f"input.series.{key}.{keyword} is no DICOM keyword")
        several = [given] if isinstance(given, str) else given
        found.append((str(keyword), tuple(str(one).upper() for one in several)))
    return tuple(found)


def _aggregation(stored: Mapping[str, Any]) -> Aggregation:
    method, k = stored.get("method", "max"), int(stored.get("k", 1))
    if method not in get_args(Method):
        raise ValueError(
            f"input.series.aggregation.method is {method!r}: use one of"
            f" {', '.join(get_args(Method))}"
        )
    if k < 1 or (k > 1 and method != "top-k-mean"):
        raise ValueError(
            "input.series.aggregation.k is for top-k-mean, 1 or more: correct it"
        )
    return Aggregation(cast("Method", method), k)


def _pair(found: Any, name: str) -> tuple[float, float]:
    try:
        first, second = (float(one) for one in found)
    except (TypeError, ValueError) as error:
        raise ValueError(f"input.series.{name} needs pairs of numbers") from error
    return first, second


def _checked(spec: SeriesSpec) -> SeriesSpec:
    for broken, remedy in _rules(spec):
        if broken:
            raise ValueError(f"input.series.{remedy}")
    return spec


def _rules(spec: SeriesSpec) -> list[tuple[bool, str]]:
    """What must not be, and what to write instead."""
    thickness = spec.slice_thickness_mm
    return [
        (
            any(not width > 0 for _, width in spec.windows)
            or len(spec.windows) > _MOST_WINDOWS,
            f"windows: give at most {_MOST_WINDOWS}, each [centre, width], width > 0",
        ),
        (
            len(spec.percentiles) > _MOST_WINDOWS
            or (bool(spec.windows) and bool(spec.percentiles))
            or any(not 0 <= a < b <= _WHOLE for a, b in spec.percentiles),
            "percentiles: give at most 8 instead of windows, each [low, high] from 0 to"
            " 100, low < high",
        ),
        (
            spec.span not in get_args(Span),
            f"span is {spec.span!r}: use one of {', '.join(get_args(Span))}",
        ),
        (
            (spec.span == "all") != (spec.n_slices == 0),
            "n_slices: give it with span even or central, leave it out with all",
        ),
        (
            not 0 <= spec.n_slices <= _MOST_SLICES,
            f"n_slices is {spec.n_slices}: give at most {_MOST_SLICES}",
        ),
        (
            not 0 < spec.central_fraction <= 1
            or (spec.central_fraction < 1) != (spec.span == "central"),
            "central_fraction: give it with span central, above 0 and below 1",
        ),
        (
            spec.stack_depth % 2 != 1 or not 0 < spec.stack_depth <= _MOST_DEPTH,
            f"stack_depth is {spec.stack_depth}: give an odd number up to"
            f" {_MOST_DEPTH}",
        ),
        (
            min(spec.min_slices, spec.max_series) < 1,
            "min_slices and max_series must be 1 or more: correct them",
        ),
        (
            not set(spec.planes) <= set(PLANES),
            f"planes: use {', '.join(PLANES)}",
        ),
        (
            thickness is not None and not 0 <= thickness[0] <= thickness[1],
            "slice_thickness_mm: give [from, to] in millimetres, from <= to",
        ),
        (
            not 0 <= spec.max_missing_fraction < 1,
            "max_missing_fraction: give a number from 0 to below 1",
        ),
        (
            not 0 <= spec.max_tilt_degrees <= 90,  # noqa: PLR2004 - a right angle
            "max_tilt_degrees: give a number from 0 to 90",
        ),
    ]
