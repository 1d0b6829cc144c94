"""Line plots as inline SVG: no script, no font, no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from model.evaluate.evaluation import Plot, Points, Series

_WIDTH, _HEIGHT = 260, 220
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 10, 12, 66
_COLOURS = ("#0b62a4", "#b3541e", "#2e7d32", "#6a3d9a")
_GREY = "#6b7685"
_N_TICKS = 5
_LEGEND_WIDTH = 130


class Frame:
    """From values to positions in the drawing."""

    def __init__(self, plot: Plot) -> None:
        self._x, self._y = plot.x_range, plot.y_range

    def x(self, value: float) -> float:
        """Horizontal position."""
        low, high = self._x
        return _LEFT + (value - low) / (high - low) * _WIDTH

    def y(self, value: float) -> float:
        """Vertical position; larger values lie higher."""
        low, high = self._y
        return _TOP + (high - value) / (high - low) * _HEIGHT

    def path(self, points: Points) -> str:
        """Points of a polyline."""
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)


def draw(plot: Plot) -> str:
    """A figure with its caption."""
    frame = Frame(plot)
    title = f"{plot.name}, {plot.on}"
    width, height = _LEFT + _WIDTH + _RIGHT, _TOP + _HEIGHT + _BOTTOM
    parts = [
        f'<figure><figcaption>{escape(title)}</figcaption><svg role="img"'
        f' viewBox="0 0 {width} {height}" aria-label="{escape(title)}">',
        *_axes(plot, frame),
        *_lines(plot.series, frame),
        *_legend(plot.series),
        "</svg></figure>",
    ]
    return "".join(parts)


def _axes(plot: Plot, frame: Frame) -> Iterable[str]:
    bottom, middle = _TOP + _HEIGHT, _LEFT + _WIDTH / 2
    for value in _ticks(plot.x_range):
        x = frame.x(value)
        yield _line(x, _TOP, x, bottom)
        yield _text(x, bottom + 14, f"{value:g}", "middle")
    for value in _ticks(plot.y_range):
        y = frame.y(value)
        yield _line(_LEFT, y, _LEFT + _WIDTH, y)
        yield _text(_LEFT - 6, y + 4, f"{value:g}", "end")
    yield (
        f'<rect x="{_LEFT}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}"'
        ' fill="none" stroke="#8893a2"/>'
    )
    yield _text(middle, bottom + 32, plot.x_label, "middle")
    side = _TOP + _HEIGHT / 2
    yield (
        f'<text x="13" y="{side}" transform="rotate(-90 13 {side})"'
        f' text-anchor="middle">{escape(plot.y_label)}</text>'
    )


def _ticks(span: tuple[float, float]) -> list[float]:
    """Round values within a range, at most about six."""
    low, high = span
    step = next(
        s
        for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
        if (high - low) / s <= _N_TICKS + 1e-9 or s == 100  # noqa: PLR2004 - coarsest
    )
    first = int(-(-(low - 1e-9) // step))
    last = int((high + 1e-9) // step)
    return [round(i * step, 6) for i in range(first, last + 1)]


def _lines(series: Iterable[Series], frame: Frame) -> Iterable[str]:
    for index, one in enumerate(series):
        colour = _colour(index, one)
        if one.style == "points":
            yield from _points(one, frame, colour)
            continue
        dashes = ' stroke-dasharray="4 4"' if one.style == "dashed" else ""
        yield (
            f'<polyline points="{frame.path(one.points)}" fill="none"'
            f' stroke="{colour}" stroke-width="{1 if dashes else 2}"{dashes}/>'
        )


def _points(one: Series, frame: Frame, colour: str) -> Iterable[str]:
    for (x, _), (low, high) in zip(
        one.points, one.intervals, strict=bool(one.intervals)
    ):
        yield _line(frame.x(x), frame.y(low), frame.x(x), frame.y(high), colour)
    for x, y in one.points:
        yield (
            f'<circle cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="3.5"'
            f' fill="{colour}"/>'
        )


def _legend(series: tuple[Series, ...]) -> Iterable[str]:
    y = _TOP + _HEIGHT + 52
    for index, one in enumerate(series):
        x = _LEFT + index * _LEGEND_WIDTH
        colour = _colour(index, one)
        dashes = ' stroke-dasharray="4 4"' if one.style == "dashed" else ""
        if one.style == "points":
            yield f'<circle cx="{x + 9}" cy="{y}" r="3.5" fill="{colour}"/>'
        else:
            yield (
                f'<line x1="{x}" y1="{y}" x2="{x + 18}" y2="{y}" stroke="{colour}"'
                f' stroke-width="2"{dashes}/>'
            )
        yield _text(x + 23, y + 4, one.name, "start")


def _colour(index: int, one: Series) -> str:
    return _GREY if one.style == "dashed" else _COLOURS[index % len(_COLOURS)]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#e3e7ec") -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        f' stroke="{colour}"/>'
    )


def _text(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
    )
