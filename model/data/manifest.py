"""The manifest: one row per image, the only thing readers produce."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


class ManifestError(Exception):
    """The table cannot be used as it is; the message ends with the remedy."""


@dataclass(frozen=True)
class Row:
    """One image.

    path: relative to the data folder. labels: label name -> 1, 0 or in between; an
    absent name is unknown, never negative. mask: heads whose loss must not count this
    image although its label is known.
    """

    path: str
    patient: str
    study: str
    view: str
    labels: Mapping[str, float]
    split: str
    source: str
    sha256: str
    mask: frozenset[str] = field(default_factory=frozenset)
    weight: float = 1.0


COLUMNS = tuple(f.name for f in fields(Row))


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the table as CSV."""
    path.write_text(to_csv(rows), encoding="utf-8", newline="")


def to_csv(rows: Iterable[Row]) -> str:
    """The table as text, the same rows always as the same text."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows:
        table.writerow(_cell(getattr(row, name)) for name in COLUMNS)
    return text.getvalue()


def read(path: Path) -> list[Row]:
    """Read the table; raises ManifestError for missing columns and bad numbers."""
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        missing = set(COLUMNS) - set(table.fieldnames or ())
        if missing:
            raise ManifestError(
                f"{path.name} lacks the columns {', '.join(sorted(missing))}: add them"
            )
        return [_row(cells, number) for number, cells in enumerate(table, start=2)]


def digest(rows: Iterable[Row]) -> str:
    """sha256 of the table: stored in the bundle to say what it was trained on."""
    return hashlib.sha256(to_csv(rows).encode()).hexdigest()


def check_split(rows: Sequence[Row]) -> None:
    """Raise ManifestError when a patient or an image is in more than one split."""
    for what in ("patient", "sha256"):
        seen: dict[str, set[str]] = {}
        for row in rows:
            seen.setdefault(getattr(row, what), set()).add(row.split)
        shared = sorted(key for key, splits in seen.items() if len(splits) > 1)
        if shared:
            raise ManifestError(
                f"{len(shared)} values of {what} are in more than one split, the first"
                f" is {shared[0]}: split by patient and remove duplicates"
            )


def _cell(value: object) -> str:
    if isinstance(value, frozenset):
        return ";".join(sorted(value))
    if isinstance(value, dict):
        return ";".join(f"{name}={number:g}" for name, number in sorted(value.items()))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row(cells: dict[str, str], number: int) -> Row:
    try:
        pairs = (item.split("=") for item in cells["labels"].split(";") if item)
        labels = {name: float(value) for name, value in pairs}
        weight = float(cells["weight"])
    except ValueError as error:
        raise ManifestError(
            f"line {number} has a label or weight that is not a number: write name=1"
        ) from error
    mask = frozenset(item for item in cells["mask"].split(";") if item)
    plain = {name: cells[name] for name in COLUMNS if name not in _PARSED}
    return Row(**plain, labels=labels, mask=mask, weight=weight)


_PARSED = ("labels", "mask", "weight")
