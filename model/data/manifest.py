"""The manifest: one row per image, the only thing readers produce."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path


class ManifestError(Exception):
    """The table cannot be used as it is; the message ends with the remedy."""


@dataclass(frozen=True)
class Row:
    """One image.

    path: relative to the data folder, `archive.npz#member/place` inside an archive.
    labels: label name -> 1, 0 or in between; an absent name is unknown, never negative.
    mask: heads or labels whose loss must not count this image although its label is
    known. uncertain: labels the data set marks as uncertain (-1). blank: labels it asks
    about and left empty, which is not negative. sex: F, M, O or "". age_years: a
    number or "".
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
    sex: str = ""
    age_years: str = ""
    manufacturer: str = ""
    uncertain: frozenset[str] = field(default_factory=frozenset)
    blank: frozenset[str] = field(default_factory=frozenset)


# Written only when a row has one, so a table without them keeps its sha256
OPTIONAL = ("sex", "age_years", "manufacturer", "uncertain", "blank")
COLUMNS = tuple(f.name for f in fields(Row) if f.name not in OPTIONAL)
_NAMES = ("mask", "uncertain", "blank")
_PARSED = ("labels", "weight", *_NAMES)


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write the table as CSV."""
    path.write_text(to_csv(rows), encoding="utf-8", newline="")


def to_csv(rows: Iterable[Row]) -> str:
    """The table as text, the same rows always as the same text.

    Raises ManifestError for a label name or a value that the table cannot hold.
    """
    rows = list(rows)
    extra = [name for name in OPTIONAL if any(getattr(row, name) for row in rows)]
    columns = [*COLUMNS, *extra]
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for row in rows:
        table.writerow(_cell(getattr(row, name)) for name in columns)
    return text.getvalue()


def read(path: Path) -> list[Row]:
    """Read the table; raises ManifestError for missing columns and bad numbers."""
    if not path.is_file():
        raise ManifestError(f"there is no {path.name}: give an existing manifest")
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


def shared_keys(rows: Iterable[Row], what: str) -> dict[str, list[Row]]:
    """Value of the column `what` -> its rows, for values in more than one split."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(getattr(row, what), []).append(row)
    return {
        key: members
        for key, members in sorted(found.items())
        if len({row.split for row in members}) > 1
    }


def check_split(rows: Sequence[Row]) -> None:
    """Raise ManifestError when a patient or an image is in more than one split."""
    for what in ("patient", "sha256"):
        shared = list(shared_keys(rows, what))
        if shared:
            raise ManifestError(
                f"{len(shared)} values of {what} are in more than one split, the first"
                f" is {shared[0]}: split by patient and remove duplicates"
            )


def _cell(value: object) -> str:
    if isinstance(value, frozenset):
        return ";".join(_name(name) for name in sorted(value))
    if isinstance(value, dict):
        pairs = sorted(value.items())
        return ";".join(f"{_name(name)}={_number(number)}" for name, number in pairs)
    return _number(value) if isinstance(value, float) else _text(str(value))


def _number(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))


def _name(name: str) -> str:
    if not name or set(name) & set(";="):
        raise ManifestError(f"the label name {name!r} has ; or =: give it another name")
    return _text(name)


def _text(value: str) -> str:
    if set(value) & set("\r\n\0"):
        raise ManifestError(f"{value!r} has a line break: rename it without one")
    return value


def _row(cells: dict[str, str], number: int) -> Row:
    try:
        pairs = (item.rsplit("=", 1) for item in cells["labels"].split(";") if item)
        labels = {name: float(value) for name, value in pairs}
        weight = float(cells["weight"])
    except ValueError as error:
        raise ManifestError(
            f"line {number} has a label or weight that is not a number: write name=1"
        ) from error
    given = {name: cells.get(name) or "" for name in (*COLUMNS, *OPTIONAL)}
    plain = {name: text for name, text in given.items() if name not in _PARSED}
    names = {name: _names(given[name]) for name in _NAMES}
    return Row(**plain, **names, labels=labels, weight=weight)  # type: ignore[arg-type]


@lru_cache(maxsize=4096)
def _names(text: str) -> frozenset[str]:
    return frozenset(item for item in text.split(";") if item)
