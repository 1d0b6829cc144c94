"""Local labels: a small table, or header values that the site trusts."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from pydicom.errors import InvalidDicomError

from model.data.manifest import ManifestError, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.bundle import Description, HeaderCheck, Label

_YES, _NO = frozenset({"1", "yes", "true"}), frozenset({"0", "no", "false"})
_NAMES = ("path", "file")
_MOST_FILES = 500


def read_labels(table: Path, labels: Sequence[Label]) -> list[Row]:
    """Rows of a CSV with a `path` column, and one column for each question answered.

    A column is a label (`inverted`: 1, 0 or empty for unknown) or a head whose cells
    name the class (`view`: PA, or view-PA). `patient` keeps images of one patient
    together; without it each image counts as one. Raises ManifestError.
    """
    return table_of(table, labels, _NAMES)[1]


def table_of(
    table: Path, labels: Sequence[Label], keys: Sequence[str]
) -> tuple[str, list[Row]]:
    """The column that says what a line is about, and a row for each line.

    keys: names that column may have, the best first; its value is the row's `path`.
    """
    with table.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.DictReader(file)
        columns = set(lines.fieldnames or ())
        key = next((name for name in keys if name in columns), None)
        known = {label.name for label in labels} | {label.head for label in labels}
        if key is None or not columns & known:
            named = ", ".join(f"`{name}`" for name in keys if name != "file")
            raise ManifestError(
                f"{table.name} needs a column {named.replace(', ', ' or ')} and one of"
                f" {', '.join(sorted(known))}: add them"
            )
        return key, [
            _row(line, line[key], labels, number)
            for number, line in enumerate(lines, start=2)
        ]


def rows_from_headers(folder: Path, description: Description) -> list[Row]:
    """Rows of the DICOM files of a folder, labelled by the bundle's header checks.

    For a site whose View Position is right. The patient is kept as a hash only.
    """
    checks = description.header_checks
    if not checks:
        raise ManifestError(
            f"{description.name} compares no header value: give --labels"
        )
    rows = [
        row for path in _files(folder) if (row := _header_row(path, folder, checks))
    ]
    if not rows:
        raise ManifestError(
            f"no DICOM file in {folder} has a usable value: give labels"
        )
    return rows


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()][:_MOST_FILES]


def _header_row(path: Path, folder: Path, checks: Sequence[HeaderCheck]) -> Row | None:
    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError):
        return None
    found: dict[str, float] = {}
    for check in checks:
        value = str(header.get(check.keyword, "")).strip().upper()
        if value in check.values:
            names = set(check.values.values())
            found |= {name: float(name == check.values[value]) for name in names}
    patient = hashlib.sha256(str(header.get("PatientID", path)).encode()).hexdigest()
    name = path.relative_to(folder).as_posix()
    return _plain_row(name, patient[:16], found) if found else None


def _row(line: dict[str, str], path: str, labels: Sequence[Label], number: int) -> Row:
    found: dict[str, float] = {}
    # A column that both a head and a label are called is the label's yes or no.
    for head in {label.head for label in labels} - {label.name for label in labels}:
        answer = (line.get(head) or "").strip()
        if answer:
            found |= _choice(answer, [x for x in labels if x.head == head], number)
    for label in labels:
        answer = (line.get(label.name) or "").strip().lower()
        if answer:
            found[label.name] = _yes_or_no(answer, label.name, number)
    return _plain_row(path, (line.get("patient") or "").strip() or path, found)


def _choice(answer: str, labels: Sequence[Label], number: int) -> dict[str, float]:
    chosen = [
        x for x in labels if answer.lower() in (x.name.lower(), x.text.strip().lower())
    ]
    if len(chosen) != 1:
        names = ", ".join(label.name for label in labels)
        raise ManifestError(f"line {number}: {answer!r} is none of {names}: correct it")
    return {label.name: float(label is chosen[0]) for label in labels}


def _yes_or_no(answer: str, name: str, number: int) -> float:
    if answer in _YES | _NO:
        return float(answer in _YES)
    raise ManifestError(f"line {number}, {name}: write 1, 0 or nothing, not {answer!r}")


def _plain_row(path: str, patient: str, labels: dict[str, float]) -> Row:
    return Row(
        path=path,
        patient=patient,
        study=path,
        view="",
        labels=labels,
        split="local",
        source="site",
        sha256="",
    )
