"""The worklist on a terminal: one line for each job, whatever its width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import typer

from dicomnode.cli import printing
from dicomnode.cli.lines import SHORT
from dicomnode.health.moments import moment
from dicomnode.views import Record

_HEAD = ("received", "sender", "mod", "img", "job", "pipeline", "state", "why")
_MARGIN = 4
"""So many columns stands in what is told on a line below."""


def lines(
    rows: Sequence[Record], now: datetime, width: int, *, coloured: bool = False
) -> Iterator[str]:
    """Rows of v1_worklist for a terminal of ``width`` columns.

    The job by its short number; a study that has none by its UID, on a line below. Why
    is said without the remedy, which `show` has, and below where there is no room.
    """
    table = [_HEAD, *(_cells(row, now) for row in rows)]
    widths = [
        max(len(cells[column]) for cells in table) for column in range(len(_HEAD))
    ]
    room = width - sum(widths[:-1]) - 2 * (len(widths) - 1)
    for row, cells in zip((None, *rows), table, strict=True):
        shown = [f"{cell:<{size}}" for cell, size in zip(cells, widths, strict=True)]
        if coloured:
            shown[-2] = printing.coloured(cells[-2], shown[-2])
        fits = row is None or len(cells[-1]) <= room
        yield "  ".join([*shown[:-1], cells[-1] if fits else ""]).rstrip()
        below = [] if fits else [_cut(cells[-1], width - _MARGIN)]
        if row is not None and not row["job_id"]:
            below.append(row["study_instance_uid"])
        yield from (" " * _MARGIN + words for words in below)


def _cells(row: Record, now: datetime) -> tuple[str, ...]:
    held = ", held" if row.get("held_at") else ""
    why = printing.text_of(row["error"] or row["reason"]).partition("; ")[0]
    return (
        _received(row["received_at"], now),
        printing.text_of(row["calling_ae_title"]),
        printing.text_of(row["modality"]),
        str(row["n_instances"]),
        f"#{row['job_id'][:SHORT]}" if row["job_id"] else "",
        row["pipeline"] or "",
        f"{_state(row)}{held}",
        why,
    )


def _state(row: Record) -> str:
    """One word; of a completed job what came of it."""
    done = row["job_state"] == "COMPLETED"
    return str((row["outcome"] if done else row["job_state"]) or row["study_state"])


def _received(at: object, now: datetime) -> str:
    """Local time; the day when that is not today."""
    local, today = moment(at).astimezone(), now.astimezone().date()
    return f"{local:%H:%M:%S}" if local.date() == today else f"{local:%F %H:%M}"


def _cut(words: str, room: int) -> str:
    return words if len(words) <= room else f"{words[: room - 1]}…"


def show(rows: Sequence[Record], now: datetime, width: int) -> None:
    """Print them."""
    for line in lines(rows, now, width, coloured=printing.is_coloured()):
        typer.echo(line)
