"""Plots as SVG, drawn here: they need no script and follow the theme."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

Points = Sequence[tuple[float, float]]

_SIZE, _MARGIN = 220, 34
_BAR_HEIGHT, _BAR_WIDTH = 90, 640


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart: what it stands for, and how high."""

    name: str
    value: float


def reliability(points: Points, intervals: Points, words: str) -> Markup:
    """Promised probability against the share that was true, both 0 to 1.

    ``intervals`` are the low and the high end of each share; ``words`` what a screen
    reader says instead.
    """
    whole = _SIZE + 2 * _MARGIN
    marks = "".join(
        f'<line x1="{_x(x):.1f}" x2="{_x(x):.1f}" y1="{_y(low):.1f}"'
        f' y2="{_y(high):.1f}" class="interval"/>'
        f'<circle cx="{_x(x):.1f}" cy="{_y(y):.1f}" r="4" class="dot"/>'
        for (x, y), (low, high) in zip(points, intervals, strict=True)
    )
    axes = (
        f'<path d="M{_x(0)} {_y(1)}V{_y(0)}H{_x(1)}" class="axis"/>'
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}" class="ideal"/>'
        f'<text x="{_x(0) - 6}" y="{_y(1) + 4}" text-anchor="end">1</text>'
        f'<text x="{_x(0) - 6}" y="{_y(0) + 4}" text-anchor="end">0</text>'
        f'<text x="{_x(1)}" y="{_y(0) + 18}" text-anchor="middle">1</text>'
    )
    return _picture(whole, whole, words, axes + marks)


def bars(values: Sequence[Bar], words: str, *, is_wide: bool = False) -> Markup:
    """A bar for each value, beside each other, the highest as high as the chart.

    ``is_wide``: as wide as there is room.
    """
    highest = max((one.value for one in values), default=0) or 1
    width = _BAR_WIDTH / max(len(values), 1)
    drawn = "".join(
        _bar(number * width, width, one, _BAR_HEIGHT * one.value / highest)
        for number, one in enumerate(values)
    )
    return _picture(_BAR_WIDTH, _BAR_HEIGHT + 2, words, drawn, is_wide=is_wide)


def _bar(left: float, width: float, bar: Bar, height: float) -> str:
    said = escape(f"{bar.name}: {bar.value:g}")
    return (
        f'<rect x="{left:.1f}" y="{_BAR_HEIGHT - height:.1f}" height="{height + 1:.1f}"'
        f' width="{max(width - 2, 1):.1f}" class="bar"><title>{said}</title></rect>'
    )


def _picture(
    width: float, height: float, words: str, inside: str, *, is_wide: bool = False
) -> Markup:
    """``is_wide``: without letters, so that it may be drawn out to any width."""
    stretched = ' preserveAspectRatio="none"' if is_wide else ""
    return Markup(  # noqa: S704  # made of numbers and escaped words
        f'<svg viewBox="0 0 {width:g} {height:g}"{stretched} role="img"'
        f' aria-label="{escape(words)}" class="plot{" wide" * is_wide}">{inside}</svg>'
    )


def _x(value: float) -> float:
    return _MARGIN + value * _SIZE


def _y(value: float) -> float:
    return _MARGIN + (1 - value) * _SIZE
