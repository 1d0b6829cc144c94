"""Local labels of whole series: by path, or by what their headers say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING

import pydicom
from pydicom.multival import MultiValue

from model.commission.labels import read_labels, table_of
from model.data.files import series_files
from model.data.manifest import ManifestError
from model.data.readers import Tally
from model.data.readers.headers import pseudonym, text
from model.data.readers.series_folder import series_below

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pydicom import Dataset

    from model.bundle import Description, SeriesSpec
    from model.data.manifest import Row

    Series = Sequence[tuple[str, Dataset]]
    Found = Mapping[str, Series]

KEYS = ("path", "file", "SeriesInstanceUID", "StudyInstanceUID", "AccessionNumber")


def rows_of(table: Path, description: Description, folder: Path) -> list[Row]:
    """The labelled images, or for a series bundle the labelled series, of a folder."""
    if description.input.series is None:
        return read_labels(table, description.labels)
    return read_series_labels(table, description, folder)


def read_series_labels(
    table: Path, description: Description, folder: Path
) -> list[Row]:
    """Rows of a CSV whose lines are each about one series below a folder.

    The first of KEYS that is a column says which: a path is a folder of one series, a
    multi-frame file or `folder#SeriesInstanceUID`. Of the series of a study those count
    that are no localizers and that the bundle's `match` and `exclude` take: there must
    be one. Without a column `patient` the header's Patient ID keeps series of one
    patient together, as a hash. Raises ManifestError.
    """
    key, rows = table_of(table, description.labels, KEYS)
    known = _by(key, folder)
    spec = description.input.series
    if spec is not None and (spec.match or spec.exclude):
        known = {value: _taken(some, folder, spec) for value, some in known.items()}
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


def _taken(some: Series, folder: Path, spec: SeriesSpec) -> Series:
    """Of several series those that the rules take; what is named alone counts."""
    if len(some) == 1:
        return some
    return [one for one in some if spec.takes(_facts(folder / one[0], spec))]


def _facts(path: Path, spec: SeriesSpec) -> dict[str, list[str]]:
    """What the rules ask for, of the middle file, also of its functional groups."""
    files = series_files(path)
    ds = pydicom.dcmread(files[len(files) // 2], stop_before_pixels=True)
    found: dict[str, list[str]] = {}
    wanted = {name for name, _ in (*spec.match, *spec.exclude)}
    for element in (*ds, *ds.iterall()):
        if element.keyword in wanted and element.value not in (None, ""):
            value = element.value
            several = value if isinstance(value, MultiValue | list) else [value]
            found.setdefault(element.keyword, [str(one).strip() for one in several])
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
            f"line {number}: no series of the data folder that the bundle takes has"
            f" this {key}: correct it, or take the line out"
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
