"""The project's own `labels.csv`: one line per image, with the split in it.

Every `task_NAME` column but `task_view` is a label NAME: 1, 0, -1 or blank.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from model.data import images
from model.data.readers.tables import age_of, findings, lines, sex_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.manifest import Row
    from model.data.readers.reading import Options, Tally

_TASK = "task_"


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """The rows that training reads, with the other tasks, sex and age added."""
    del options, tally
    rows = images.rows(root)
    for row, cells in zip(rows, lines(root / "labels.csv"), strict=True):
        yield _more(row, cells)


def _more(row: Row, cells: dict[str, str]) -> Row:
    tasks = {
        name.removeprefix(_TASK): value
        for name, value in cells.items()
        if name.startswith(_TASK) and name != f"{_TASK}view"
    }
    known = findings(tasks, tasks, str)
    return replace(
        row,
        labels={**row.labels, **known.labels},
        uncertain=known.uncertain,
        blank=known.blank,
        sex=sex_of(cells.get("sex", "")),
        age_years=age_of(cells.get("age", "")),
    )
