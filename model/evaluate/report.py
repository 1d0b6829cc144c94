"""The report as one page that needs nothing else: no script, no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.evaluate.figures import Entry, Evaluation

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; color: #1c2430; background: #fff; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #d5dbe3; }
td.number, th.number { text-align: right; white-space: nowrap; }
.notice { background: #fff3cd; padding: .6rem 1rem; border-radius: .3rem; }
svg { max-width: 22rem; }
"""
_SIDE, _MARGIN = 300, 40


def render(evaluation: Evaluation) -> str:
    """The HTML page of an evaluation."""
    sections = list(dict.fromkeys(entry.section for entry in evaluation.entries))
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f"<title>{escape(evaluation.bundle)}: validation</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{escape(evaluation.bundle)}: validation</h1>",
        '<p class="notice">Research use only. Figures are of the validation images;'
        " intervals are 95 %, patients drawn again.</p>",
    ]
    for section in sections:
        lines = [entry for entry in evaluation.entries if entry.section == section]
        parts += [f"<h2>{escape(section.capitalize())}</h2>", _table(lines)]
    parts += [_figure(name, points) for name, points in evaluation.curves.items()]
    return "\n".join([*parts, "</body></html>", ""])


def markdown(evaluation: Evaluation) -> str:
    """The same table for the model card."""
    lines = [
        "| question | figure | on | value [95 % interval] | images | patients |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {e.section} | {e.name} | {e.on} | {e.figure} | {e.figure.n} |"
        f" {e.figure.n_patients} |"
        for e in evaluation.entries
    ]
    return "\n".join(lines)


def _table(entries: Sequence[Entry]) -> str:
    head = (
        "<tr><th>Figure</th><th>On</th>"
        '<th class="number">Value</th><th class="number">95 % interval</th>'
        '<th class="number">Images</th><th class="number">Patients</th></tr>'
    )
    return "<table>" + head + "".join(_line(entry) for entry in entries) + "</table>"


def _line(entry: Entry) -> str:
    figure = entry.figure
    numbers = (
        f"{figure.value:.4f}",
        f"{figure.low:.4f} to {figure.high:.4f}",
        str(figure.n),
        str(figure.n_patients),
    )
    cells = "".join(f'<td class="number">{number}</td>' for number in numbers)
    return f"<tr><td>{escape(entry.name)}</td><td>{escape(entry.on)}</td>{cells}</tr>"


def _figure(name: str, points: Sequence[tuple[float, float]]) -> str:
    """A curve in the unit square."""
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    size = _SIDE + 2 * _MARGIN
    return (
        f"<h2>{escape(name)}</h2>"
        f'<svg viewBox="0 0 {size} {size}" role="img" aria-label="{escape(name)}">'
        f'<rect x="{_MARGIN}" y="{_MARGIN}" width="{_SIDE}" height="{_SIDE}"'
        ' fill="none" stroke="#8893a2"/>'
        f'<line x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"'
        ' stroke="#c0c7d1" stroke-dasharray="4 4"/>'
        f'<polyline points="{path}" fill="none" stroke="#0b62a4" stroke-width="2"/>'
        f'<text x="{size / 2}" y="{size - 8}" text-anchor="middle"'
        ' font-size="13">false positive rate</text>'
        f'<text x="14" y="{size / 2}" text-anchor="middle" font-size="13"'
        f' transform="rotate(-90 14 {size / 2})">true positive rate</text></svg>'
    )


def _x(value: float) -> float:
    return _MARGIN + value * _SIDE


def _y(value: float) -> float:
    return _MARGIN + (1 - value) * _SIDE
