"""Radiologists' labels of four findings on NIH images (10.1148/radiol.2019191293).

Two tables, of a validation and a test part, with YES or NO for each finding; elsewhere
they are met as one. The images are ChestX-ray14's, so these rows are never external to
it, and a patient may be in its training part: `check-leak` finds that. Patients are in
the names of the images; sex, age and view come from NIH's own table where it lies in
the root too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.readers.nih import TABLES, files_of, patient_of
from model.data.readers.reading import with_view
from model.data.readers.tables import (
    age_of,
    label_name,
    lines,
    optional_table,
    sex_of,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

SOURCE = "nih_google"
FINDINGS = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
_PARTS = {"val": "*validation_labels*.csv*", "test": "*test_labels*.csv*"}
_ANSWERS = {"YES": 1.0, "NO": 0.0}
_NAME = "Image Index"


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of both tables, or of the one given with --table, which has no parts."""
    del tally
    facts, files = _facts(root), files_of(root)
    for part, path in _tables(root, options):
        for cells in lines(path, (_NAME, *FINDINGS)):
            image = cells[_NAME].strip()
            stem = image.rsplit(".", 1)[0]
            row = Row(
                path=files.get(stem, f"images/{image}"),
                patient=patient_of(stem.split("_")[0]),
                study=stem,
                view="",
                labels={label_name(name): _answer(cells, name) for name in FINDINGS},
                split=part,
                source=SOURCE,
                sha256="",
            )
            view, sex, age = facts.get(image, ("", "", ""))
            yield with_view(replace(row, view=view, sex=sex, age_years=age))


def _tables(root: Path, options: Options) -> list[tuple[str, Path]]:
    if options.table:
        return [("", options.table)]
    found = [
        (part, path)
        for part, pattern in _PARTS.items()
        for path in sorted(root.glob(pattern))
    ]
    if not found:
        raise ManifestError(
            f"no {' or '.join(_PARTS.values())} in {root.name or root}: give the table"
            " with --table"
        )
    return found


def _answer(cells: dict[str, str], name: str) -> float:
    try:
        return _ANSWERS[cells[name].strip().upper()]
    except KeyError:
        raise ManifestError(
            f"{name} of {cells[_NAME]} is {cells[name]!r}, not YES or NO: use the table"
            " as it was published"
        ) from None


def _facts(root: Path) -> dict[str, tuple[str, str, str]]:
    """Image -> view, sex and age as NIH's table has them; empty without it."""
    path = optional_table(root, *TABLES)
    if path is None:
        return {}
    return {
        cells[_NAME].strip(): (
            view_of(cells.get("View Position", "")),
            sex_of(cells.get("Patient Gender") or cells.get("Patient Sex", "")),
            age_of(cells.get("Patient Age", "")),
        )
        for cells in lines(path, (_NAME,))
    }
