"""Local labels of whole series: by path, or by what their headers say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from model.commission.labels import read_labels, table_of
from model.data.manifest import ManifestError
from model.data.readers import Tally
from model.data.readers.headers import pseudonym, text
from model.data.readers.series_folder import series_below

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pydicom import Dataset

    from model.bundle import Description, Label
    from model.data.manifest import Row

    Found = Mapping[str, Sequence[tuple[str, Dataset]]]

KEYS = ("path", "file", "SeriesInstanceUID", "StudyInstanceUID", "AccessionNumber")


def rows_of(table: Path, description: Description, folder: Path) -> list[Row]:
    """The labelled images, or for a series bundle the labelled series, of a folder."""
    if description.input.series is None:
        return read_labels(table, description.labels)
    return read_series_labels(table, description.labels, folder)


def read_series_labels(table: Path, labels: Sequence[Label], folder: Path) -> list[Row]:
    """Rows of a CSV whose lines are each about one series below a folder.

    The first of KEYS that is a column says which: a path is a folder of one series, a
    multi-frame file or `folder#SeriesInstanceUID`. A study must have one series there,
    localizers aside. Without a column `patient` the header's Patient ID keeps series
    of one patient together, as a hash. Raises ManifestError.
    """
    key, rows = table_of(table, labels, KEYS)
    known = _by(key, folder)
    return [_placed(row, key, known, number) for number, row in enumerate(rows, 2)]


def _by(key: str, folder: Path) -> Found:
    found: dict[str, list[tuple[str, Dataset]]] = defaultdict(list)
    for path, header in series_below(folder, Tally()):
        if key in ("path", "file"):
            whole = folder / path
            inside = (
                whole.parent if whole.is_file() else folder / path.partition("#")[0]
            )
            for name in {path, inside.relative_to(folder).as_posix()}:
                found[name].append((path, header))
        else:
            found[text(header, key)].append((path, header))
    return found


def _folder_of(path: str, root: Path) -> str:
    is_file = (root / path).is_file()
    return str(PurePath(path).parent) if is_file else path.partition("#")[0]


def _placed(row: Row, key: str, known: Found, number: int) -> Row:
    """The row with its path; the table's value of the key is in it still."""
    value = row.path.strip()
    found = known.get(value.rstrip("/") if key in ("path", "file") else value, ())
    if not found:
        raise ManifestError(
            f"line {number}: no series of the data folder has this {key}: correct it,"
            " or take the line out"
        )
    if len(found) > 1:
        raise ManifestError(
            f"line {number}: {len(found)} series have this {key}: say which one is"
            " meant, with a column SeriesInstanceUID"
        )
    [(path, header)] = found
    patient = row.patient
    if patient == row.path:  # the table names none
        patient = pseudonym("site", text(header, "PatientID") or path)
    return replace(row, path=path, study=path, patient=patient)
