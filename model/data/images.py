"""Reader of the `labels.csv` layout: one line per image, split by patient."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row

if TYPE_CHECKING:
    from pathlib import Path

_NEEDED = ("file", "split", "source", "patient_id", "view", "task_view", "sha256")


def rows(folder: Path) -> list[Row]:
    """Manifest rows of a folder with `labels.csv`.

    The view counts for training only where it was recorded when the image was made
    (`task_view`); where a whole cohort has one view, learning it would be learning the
    cohort, so the label is kept but masked. Raises ManifestError when columns lack.
    """
    table = folder / "labels.csv"
    if not table.is_file():
        raise ManifestError(f"no labels.csv in {folder}: give the folder that holds it")
    with table.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file)
        missing = set(_NEEDED) - set(lines.fieldnames or ())
        if missing:
            raise ManifestError(
                f"labels.csv lacks {', '.join(sorted(missing))}: add it"
            )
        return [_row(line) for line in lines]


def _row(line: dict[str, str]) -> Row:
    view = line["task_view"] or line["view"]
    labels = {"view-PA": float(view == "PA"), "view-AP": float(view == "AP")}
    return Row(
        path=line["file"],
        patient=line["patient_id"],
        study=line["file"].rsplit("/", 1)[-1].rsplit(".", 1)[0],
        view=view,
        labels=labels if view in ("PA", "AP") else {},
        split=line["split"],
        source=line["source"],
        sha256=line["sha256"],
        mask=frozenset() if line["task_view"] else frozenset({"view"}),
    )
