"""What the tables of all data sets share: columns, views, ages, label names."""

from __future__ import annotations

import csv
import gzip
import io
import re
from typing import TYPE_CHECKING, NamedTuple

from model.data.manifest import ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

NO_FINDING = "No Finding"
CHEXPERT_14 = (
    NO_FINDING,
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
# One name for one finding, so that data sets can be joined; others stay as they are
_SAME_FINDING = {
    "airspace opacity": "Lung Opacity",
    "effusion": "Pleural Effusion",
    "pleural": "Pleural Thickening",
    "pleural_thickening": "Pleural Thickening",
    "infiltrate": "Infiltration",
    "infiltrates": "Infiltration",
    "infiltration": "Infiltration",
    "normal": NO_FINDING,
}
_ONE_SPELLING = {
    name.lower(): name
    for name in (
        *CHEXPERT_14,
        "Emphysema",
        "Fibrosis",
        "Hernia",
        "Mass",
        "Nodule",
        "Pleural Thickening",
    )
}
KNOWN_FINDINGS = frozenset({*_ONE_SPELLING.values(), *_SAME_FINDING.values()})
_LATERAL = {"L", "LL", "RL", "LATERAL", "LARGE LATERAL", "XTABLE LATERAL"}
_AP = {"AP", "AP_HORIZONTAL"}
_SEX = {"MALE": "M", "M": "M", "FEMALE": "F", "F": "F", "O": "O", "OTHER": "O"}
_AGE = re.compile(r"0*(\d+(?:\.\d+)?)\s*([YMWD]?)", re.IGNORECASE)
_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}
_OLDEST_YEARS = 120
_VALUES = {"": None, "1": 1.0, "1.0": 1.0, "0": 0.0, "0.0": 0.0, "-1": -1.0, "-1.0": -1}


class Findings(NamedTuple):
    """labels: known values. uncertain: marked -1. blank: asked about and left empty."""

    labels: dict[str, float]
    uncertain: frozenset[str] = frozenset()
    blank: frozenset[str] = frozenset()


UNLABELLED = Findings({})


def table(folder: Path, *names: str) -> Path:
    """The first of these tables that is in the folder, also as .gz.

    Raises ManifestError when there is none.
    """
    found = optional_table(folder, *names)
    if found is None:
        raise ManifestError(
            f"{' or '.join(names)} is not in {folder.name or folder}: give the folder"
            " that holds it with --root"
        )
    return found


def optional_table(folder: Path, *names: str) -> Path | None:
    """The first of these tables that is in the folder, also as .gz, or None."""
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    return None


def lines(path: Path, needed: Iterable[str] = ()) -> Iterator[dict[str, str]]:
    """The rows of a CSV file, plain or .gz; raises ManifestError for lacking columns.

    A byte order mark, blanks around names and cells that a short row lacks are
    tolerated.
    """
    with io.TextIOWrapper(_opened(path), "utf-8-sig", newline="") as file:
        read = csv.reader(file)
        names = [name.strip() for name in next(read, [])]
        missing = [name for name in needed if name not in names]
        if missing:
            raise ManifestError(
                f"{path.name} lacks the columns {', '.join(missing)}:"
                " use the table as it was published"
            )
        for cells in read:
            if cells:
                padded = [*cells, *[""] * (len(names) - len(cells))]
                yield dict(zip(names, padded, strict=False))


def _opened(path: Path) -> io.BufferedReader | gzip.GzipFile:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def findings(
    cells: Mapping[str, str],
    columns: Iterable[str],
    named: Callable[[str], str] | None = None,
) -> Findings:
    """1, 0, -1 and blank of one row. A row that is all blank says nothing at all.

    named: column -> label, `label_name` by default. Raises ManifestError for another
    value.
    """
    known: dict[str, float] = {}
    uncertain, blank = set(), set()
    for column in columns:
        name, value = (named or label_name)(column), label_value(cells[column], column)
        if value is None:
            blank.add(name)
        elif value < 0:
            uncertain.add(name)
        else:
            known[name] = value
    if not known and not uncertain:
        return UNLABELLED
    return Findings(known, frozenset(uncertain), frozenset(blank))


def label_value(text: str, column: str) -> float | None:
    """1.0, 0.0, -1.0, or None when blank; raises ManifestError for another value."""
    try:
        return _VALUES[text.strip()]
    except KeyError:
        raise ManifestError(
            f"column {column} holds {text!r}: it must be 1, 0, -1 or blank"
        ) from None


def label_name(name: str) -> str:
    """The one spelling of a finding; a name we do not know stays as it is."""
    plain = name.strip()
    same = _SAME_FINDING.get(plain.lower())
    return same or _ONE_SPELLING.get(plain.lower().replace("_", " "), plain)


def view_of(text: str) -> str:
    """PA, AP or LATERAL for the spellings met; "" when blank; else as it is written."""
    view = text.strip().upper()
    if view in _LATERAL:
        return "LATERAL"
    return "AP" if view in _AP else view


def sex_of(text: str) -> str:
    """F, M, O or ""."""
    return _SEX.get(text.strip().upper(), "")


def age_of(text: str) -> str:
    """Years as text, from `58`, `058Y` or `013M`; "" when blank or past 120."""
    found = _AGE.fullmatch(text.strip())
    if not found:
        return ""
    years = float(found[1]) / _PER_YEAR[found[2].upper()]
    return f"{years:.3g}" if years <= _OLDEST_YEARS else ""
