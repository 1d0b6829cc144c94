"""Tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of GitHub's Markdown; a cell is one line whatever it holds."""
    lines = [_line(columns), _line(["---"] * len(columns))]
    return "\n".join([*lines, *map(_line, rows)])


def hexadecimal(status: int) -> str:
    """A DIMSE status as PS3.7 writes it."""
    return f"{status:04X}H"


def code(value: str, scheme: str, meaning: str) -> str:
    """A code triplet as PS3.16 writes it."""
    return f'({value}, {scheme}, "{meaning}")'


def _line(cells: Iterable[object]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", r"\|")
