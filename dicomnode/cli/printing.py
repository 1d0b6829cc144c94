"""Rows for people and for programs: tables on a terminal, tabs and JSON elsewhere."""

# ruff: noqa: PLC0415 - rich is needed on a terminal only

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from dicomnode.domain.printable import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

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
    if is_terminal():
        _table(title, columns, given)
        return
    typer.echo("\t".join(columns))
    for row in given:
        typer.echo("\t".join(_field(row.get(column)) for column in columns))


def _table(title: str, columns: Sequence[str], given: Iterable[Row]) -> None:
    """A table if the terminal is wide enough; else a block of lines for each row."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    names = [column.replace("_", " ") for column in columns]
    rows = [
        [Text(cell, style=_STYLES.get(cell, "")) for cell in map(text_of, cells)]
        for cells in ([row.get(column) for column in columns] for row in given)
    ]
    widths = [
        max(len(name), *(cells[number].cell_len for cells in rows), 0)
        for number, name in enumerate(names)
    ]
    console.print(title, style="bold")
    if sum(widths) + 2 * len(widths) <= console.width:
        console.print(_in_columns(names, rows))
        return
    for cells in rows:
        for name, cell in zip(names, cells, strict=True):
            if cell:
                # A UID or a path is one word: the terminal may break it, we must not.
                line = Text.assemble(f"{name:<{max(map(len, names))}}  ", cell)
                console.print(line, soft_wrap=True)
        console.print()


def _in_columns(names: Sequence[str], rows: Sequence[Sequence[Text]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, no_wrap=True)
    for cells in rows:
        table.add_row(*cells)
    return table


def width() -> int:
    """Columns of the terminal."""
    return shutil.get_terminal_size().columns


def coloured(word: str, shown: str) -> str:
    """``shown`` in the colour of a state; as it is if the word is none."""
    colour, bold = _STYLES.get(word, ""), False
    if colour.startswith("bold "):
        colour, bold = colour.removeprefix("bold "), True
    if colour == "dim":
        return typer.style(shown, dim=True)
    return typer.style(shown, fg=colour, bold=bold) if colour else shown


def _field(value: object) -> str:
    """A cell of tab-separated values, which a spreadsheet takes for text."""
    text = text_of(value)
    return f"'{text}" if _FORMULA.match(text) else text


def is_terminal() -> bool:
    """Whether a person reads standard output, and no program."""
    return sys.stdout.isatty()


def is_coloured() -> bool:
    """Whether colours help whoever reads standard output (https://no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR")


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
