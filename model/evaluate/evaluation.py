"""What an evaluation holds, as plain data: the same in evaluation.json and the page."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from model.metrics import Difference, Figure

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Entry:
    """One line of the report."""

    section: str
    name: str
    on: str
    figure: Figure
    note: str = ""

    @property
    def measured(self) -> bool:
        """Whether the figure exists; a rate of no image does not."""
        return not math.isnan(self.figure.value)


@dataclass(frozen=True)
class Series:
    """Points of one line. intervals: low and high of each point, or none."""

    name: str
    points: Points
    intervals: Points = field(default_factory=list)
    style: Literal["line", "dashed", "points"] = "line"


@dataclass(frozen=True)
class Plot:
    """A drawing; x runs over x_range, y over y_range."""

    section: str
    name: str
    on: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)


@dataclass(frozen=True)
class Subgroup:
    """One label's AUROC in one group of images, and against all others.

    auroc and gap (this group minus the rest) are absent when either class has fewer
    than 20 images in the group: n too small.
    """

    label: str
    on: str
    attribute: str
    value: str
    n: int
    n_positive: int
    auroc: Figure | None
    gap: Figure | None


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold that a rule would take on these (validation) images.

    low and high: 95 % interval of the threshold, patients drawn again. The rates at it
    are on the images it was chosen on, which flatters it.
    """

    label: str
    on: str
    rule: str
    threshold: float
    low: float
    high: float
    sensitivity: Figure
    specificity: Figure


@dataclass(frozen=True)
class Comparison:
    """Two bundles on the same images, one label."""

    label: str
    on: str
    against: str
    difference: Difference


@dataclass(frozen=True)
class Evaluation:
    """entries: the figures. notes: what could not be measured, and why. refusals: of
    the shortcut gate; a bundle with any must not be packed.
    """

    bundle: str
    entries: tuple[Entry, ...]
    plots: tuple[Plot, ...] = ()
    subgroups: tuple[Subgroup, ...] = ()
    operating_points: tuple[OperatingPoint, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    notes: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As written to evaluation.json; what is not a number is null there."""
        table: dict[str, Any] = _without_nan(asdict(self))
        return table

    def find(self, section: str, name: str, on: str) -> Figure:
        """The figure of one line; KeyError when there is none."""
        for entry in self.entries:
            if (entry.section, entry.name, entry.on) == (section, name, on):
                return entry.figure
        raise KeyError(f"no figure {section} / {name} / {on}: see evaluation.json")


def _without_nan(value: object) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
