"""A folder of DICOM series, as exported from a PACS, with a table of labels.

A series is the files of one Series Instance UID in one folder, or one multi-frame file.
The table is that of the reader `dicom`; its lines may also be about series
(SeriesInstanceUID) or folders (`file`, relative to the root).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.progress import progress
from model.data.readers.headers import header, labelled_row, text
from model.data.readers.tables import Findings, findings, lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydicom import Dataset

    from model.data.readers.reading import Options, Tally

_KEYS = ("SeriesInstanceUID", "file", "StudyInstanceUID", "AccessionNumber")
_PATIENT = "PatientID"
_SCOUTS = frozenset({"LOCALIZER", "SCOUT"})


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of every series below root; options.table is the table of labels."""
    key, said = _labels(options.table)
    used = set()
    for path, ds in series_below(root, tally):
        value = path.partition("#")[0] if key == "file" else text(ds, key)
        used.add(value)
        if value not in said:
            tally.left_out[f"its {key} is not in the label table"] += 1
            continue
        yield labelled_row(path, ds, said[value], options.source or "series")
    lost = len(set(said) - used)
    if lost:
        tally.notes.append(
            f"{lost} lines of the label table match no series: compare its {key}"
        )


def _labels(path: Path | None) -> tuple[str, dict[str, Findings]]:
    if path is None:
        raise ManifestError(
            "a folder of series has no labels of its own: give a CSV file with --table"
        )
    names = next((list(cells) for cells in lines(path)), [])
    keys = (*_KEYS, _PATIENT)
    key = next((name for name in keys if name in names), "")
    if not key:
        raise ManifestError(
            f"{path.name} has none of the columns {', '.join(keys)}: add the one that"
            " says which series a line is about"
        )
    columns = [name for name in names if name and name not in keys]
    return key, {cells[key].strip(): findings(cells, columns) for cells in lines(path)}


def series_below(root: Path, tally: Tally) -> Iterator[tuple[str, Dataset]]:
    """(path in the manifest, header of one of its files) of each series.

    Localizers, and what is no DICOM image, are counted in the tally and left out.
    """
    folders = sorted({path.parent for path in root.rglob("*") if path.is_file()})
    for folder in progress(folders, "reading headers"):
        found: dict[str, list[tuple[Path, Dataset]]] = {}
        for path in sorted(one for one in folder.iterdir() if one.is_file()):
            ds = header(path)
            if ds is None:
                tally.left_out["not a DICOM image"] += 1
            elif _SCOUTS & set(ds.get("ImageType") or ()):
                tally.left_out["a localizer"] += 1
            else:
                found.setdefault(text(ds, "SeriesInstanceUID"), []).append((path, ds))
        for uid, some in found.items():
            path, ds = some[0]
            if len(some) == 1 and int(ds.get("NumberOfFrames") or 1) > 1:
                yield str(path.relative_to(root)), ds
            else:
                where = str(folder.relative_to(root))
                yield (where if len(found) == 1 else f"{where}#{uid}"), ds
