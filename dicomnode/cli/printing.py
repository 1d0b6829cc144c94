"""Rows for people and for programs: tables on a terminal, tabs and JSON elsewhere."""

# ruff: noqa: PLC0415 - rich is needed on a terminal only

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import typer

from dicomnode.domain.printable import printable

Row = Mapping[str, Any]

_STYLES = {
    "FAILED": "bold red",
    "REJECTED": "bold red",
    "NOT_ANALYSED": "yellow",
    "NOT_ROUTED": "yellow",
    "CANCELED": "dim",
    "IN_PROGRESS": "cyan",
    "COMPLETED": "green",
    "ANALYSED": "green",
    "SENT": "green",
    "COMMITTED": "green",
}


def as_json(row: Row) -> None:
    """One object on one line."""
    text = json.dumps(dict(row), ensure_ascii=False, default=str)
    # JSON itself escapes C0; for the others it has the same escapes.
    typer.echo(_ACTING_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


_ACTING_IN_JSON = re.compile(
    "[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
# What a spreadsheet takes for a formula; a number with its sign is none.
_FORMULA = re.compile(r"[=@]|[+-](?!\d*\.?\d+\Z).")


def line(text: str, *, err: bool = False) -> None:
    """Print text that may quote a sender: nothing of it acts on the terminal."""
    typer.echo(printable(text), err=err)


def rows(title: str, columns: Sequence[str], given: Iterable[Row]) -> None:
    """A table on a terminal; otherwise lines of tab-separated values with a header."""
    if sys.stdout.isatty():
        _table(title, columns, given)
        return
    typer.echo("\t".join(columns))
    for row in given:
        typer.echo("\t".join(_field(row.get(column)) for column in columns))


def _table(title: str, columns: Sequence[str], given: Iterable[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in given:
        cells = [text_of(row.get(column)) for column in columns]
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    Console().print(table)


def _field(value: object) -> str:
    """A cell of tab-separated values, which a spreadsheet takes for text."""
    text = text_of(value)
    return f"'{text}" if _FORMULA.match(text) else text


def is_coloured() -> bool:
    """Whether colours help whoever reads standard output (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def text_of(value: object) -> str:
    """One cell, on one line, with control characters escaped; absent is empty."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
    return printable(" ".join(str(value).split()))


def to_seconds(at: object) -> str:
    """An instant of the views without its fraction of a second."""
    text = text_of(at)
    head, dot, _ = text.partition(".")
    return f"{head}Z" if dot and text.endswith("Z") else text
