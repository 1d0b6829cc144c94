"""The report as one page that needs nothing else: no script, no network."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from model.evaluate.drawing import draw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from model.evaluate.evaluation import (
        Comparison,
        Entry,
        Evaluation,
        OperatingPoint,
        Subgroup,
    )
    from model.metrics import Figure

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto;
  padding: 0 1rem; color: #1c2430; background: #fff; }
h2 { margin-top: 2.5rem; border-bottom: 2px solid #1c2430; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem;
  border-bottom: 1px solid #d5dbe3; }
td.number, th.number { text-align: right; white-space: nowrap; }
small { color: #566170; }
.notice { background: #fff3cd; padding: .6rem 1rem; border-radius: .3rem; }
.refused { background: #f8d7da; padding: .6rem 1rem; border-radius: .3rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr));
  gap: 1rem; margin-top: 1rem; }
figure { margin: 0; } figcaption { font-weight: 600; }
svg { width: 100%; max-width: 30rem; } svg text { font-size: 11px; fill: #1c2430; }
@media print { .plots { break-inside: avoid; } }
"""
_TITLES = {
    "shortcuts": "Shortcuts: what needs no anatomy",
    "domain": "Domain gate",
    "pointing": "Maps against what people marked",
    "quality": "Checks without a network: how often they speak up",
}
_NUMBERS = ("Value", "95 % interval", "Images", "Patients")


def render(evaluation: Evaluation) -> str:
    """The HTML page of an evaluation."""
    title = escape(f"{evaluation.bundle}: evaluation")
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style></head><body>",
        f"<h1>{title}</h1>",
        '<p class="notice">Research use only. Figures are of the images named, no'
        " others; intervals are 95 %, patients drawn again.</p>",
        *_gate(evaluation),
        *_sections(evaluation),
        *_operating_points(evaluation.operating_points),
        *_subgroups(evaluation.subgroups),
        *_comparisons(evaluation.comparisons),
        *_notes(evaluation.notes),
    ]
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


def _gate(evaluation: Evaluation) -> list[str]:
    if not evaluation.refusals:
        return []
    lines = "".join(f"<li>{escape(said)}</li>" for said in evaluation.refusals)
    return [
        '<div class="refused"><strong>The shortcut gate refuses this bundle.</strong>'
        f"<ul>{lines}</ul></div>"
    ]


def _sections(evaluation: Evaluation) -> Iterable[str]:
    for section in dict.fromkeys(entry.section for entry in evaluation.entries):
        lines = [entry for entry in evaluation.entries if entry.section == section]
        yield f"<h2>{escape(_TITLES.get(section, section.capitalize()))}</h2>"
        yield _table(
            ("Figure", "On"),
            _NUMBERS,
            ((_named(e), escape(e.on), *_cells(e.figure)) for e in lines),
        )
        drawings = [draw(p) for p in evaluation.plots if p.section == section]
        if drawings:
            yield f'<div class="plots">{"".join(drawings)}</div>'


def _named(entry: Entry) -> str:
    note = f"<br><small>{escape(entry.note)}</small>" if entry.note else ""
    return escape(entry.name) + note


def _operating_points(points: Sequence[OperatingPoint]) -> list[str]:
    if not points:
        return []
    rows = (
        (
            escape(one.label),
            escape(one.on),
            escape(one.rule),
            f"{one.threshold:.3f}",
            f"{one.low:.3f} to {one.high:.3f}",
            _short(one.sensitivity),
            _short(one.specificity),
        )
        for one in points
    )
    return [
        "<h2>Operating points to choose from</h2>",
        "<p>Chosen on these validation images, so the rates at them flatter. The"
        " bundle keeps its own; the interval says how far a threshold would move with"
        " other patients of the same kind.</p>",
        _table(
            ("Label", "On", "Rule"),
            ("Threshold", "95 % interval", "Sensitivity", "Specificity"),
            rows,
        ),
    ]


def _subgroups(groups: Sequence[Subgroup]) -> list[str]:
    if not groups:
        return []
    rows = (
        (
            escape(one.label),
            escape(one.on),
            escape(one.attribute),
            escape(one.value),
            str(one.n),
            str(one.n_positive),
            _short(one.auroc) if one.auroc else "n too small",
            _short(one.gap) if one.gap else "&ndash;",
        )
        for one in groups
    )
    return [
        "<h2>Subgroups</h2>",
        "<p>Gap: AUROC of the group minus that of all other images. Below 20 images of"
        " either class nothing is said.</p>",
        _table(
            ("Label", "On", "By", "Group"), ("Images", "Positive", "AUROC", "Gap"), rows
        ),
    ]


def _comparisons(comparisons: Sequence[Comparison]) -> list[str]:
    if not comparisons:
        return []
    rows = (
        (
            escape(one.label),
            escape(one.on),
            f"{one.difference.first:.4f}",
            f"{one.difference.second:.4f}",
            _short(one.difference.difference),
            f"{one.difference.p_delong:.3g}",
            f"{one.difference.p_holm:.3g}",
        )
        for one in comparisons
    )
    against = escape(comparisons[0].against)
    return [
        f"<h2>Against {against}</h2>",
        "<p>The same images through both. The interval draws patients again for both"
        " together; p is DeLong's paired test, then Holm's correction over the"
        " labels.</p>",
        _table(
            ("Label", "On"),
            ("AUROC", "of the other", "Difference", "p", "p, Holm"),
            rows,
        ),
    ]


def _notes(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    return [
        "<h2>Not measured</h2><ul>",
        *(f"<li>{escape(note)}</li>" for note in notes),
        "</ul>",
    ]


def _table(
    words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]
) -> str:
    """Columns of words, then columns of numbers; cells are HTML."""
    head = "".join(f"<th>{name}</th>" for name in words)
    head += "".join(f'<th class="number">{name}</th>' for name in numbers)
    body = "".join(_row(cells, len(words)) for cells in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _row(cells: Sequence[str], n_words: int) -> str:
    written = [
        f"<td>{cell}</td>" if index < n_words else f'<td class="number">{cell}</td>'
        for index, cell in enumerate(cells)
    ]
    return f"<tr>{''.join(written)}</tr>"


def _cells(figure: Figure) -> tuple[str, str, str, str]:
    return (
        f"{figure.value:.4f}",
        f"{figure.low:.4f} to {figure.high:.4f}",
        str(figure.n),
        str(figure.n_patients),
    )


def _short(figure: Figure) -> str:
    if math.isnan(figure.value):
        return "&ndash;"
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
