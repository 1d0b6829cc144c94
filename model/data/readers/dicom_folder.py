"""A folder of DICOM files, as exported from a PACS, with a table of labels.

The table has a column that says which files a line is about (SOPInstanceUID,
StudyInstanceUID, AccessionNumber, PatientID or file) and one column per label: 1, 0, -1
for uncertain, or blank. Patients and studies get pseudonyms in the manifest; these hide
names from a glance and are no anonymisation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.progress import progress
from model.data.readers.headers import header, labelled_row, text
from model.data.readers.reading import admitted
from model.data.readers.tables import Findings, findings, lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

_KEYS = ("SOPInstanceUID", "file", "StudyInstanceUID", "AccessionNumber", "PatientID")
_OF_ONE_IMAGE = ("SOPInstanceUID", "file")


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of every DICOM image below root; options.table is the table of labels.

    Labels of a study are masked on its lateral images, labels of an image are not.
    """
    key, said = _labels(options.table)
    rows = _rows(root, key, said, options, tally)
    yield from admitted(rows, options, tally, study_level=key not in _OF_ONE_IMAGE)


def _labels(path: Path | None) -> tuple[str, dict[str, Findings]]:
    if path is None:
        raise ManifestError(
            "a DICOM folder has no labels of its own: give a CSV file with --table"
        )
    names = next((list(cells) for cells in lines(path)), [])
    key = next((name for name in _KEYS if name in names), "")
    if not key:
        raise ManifestError(
            f"{path.name} has none of the columns {', '.join(_KEYS)}: add the one that"
            " says which files a line is about"
        )
    columns = [name for name in names if name and name not in _KEYS]
    return key, {cells[key].strip(): findings(cells, columns) for cells in lines(path)}


def _rows(
    root: Path, key: str, said: dict[str, Findings], options: Options, tally: Tally
) -> Iterator[Row]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    used = set()
    for path in progress(files, "reading headers"):
        ds = header(path)
        if ds is None:
            tally.left_out["not a DICOM image"] += 1
            continue
        relative = str(path.relative_to(root))
        value = relative if key == "file" else text(ds, key)
        used.add(value)
        if value not in said:
            tally.left_out[f"its {key} is not in the label table"] += 1
            continue
        yield labelled_row(relative, ds, said[value], options.source or "dicom")
    _tell(tally, said, used, key)


def _tell(tally: Tally, said: dict[str, Findings], used: set[str], key: str) -> None:
    lost = len(set(said) - used)
    if lost:
        tally.notes.append(
            f"{lost} lines of the label table match no file: compare its {key}"
        )
