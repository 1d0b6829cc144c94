"""Reader of the `labels.csv` layout: one line per image, split by patient."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row

if TYPE_CHECKING:
    from pathlib import Path

_NEEDED = ("file", "split", "source", "patient_id", "view", "task_view", "sha256")
_CAUSES = {
    "No Finding": "normal",
    "Pneumonia|Bacteria Pneumonia": "bacterial",
    "Pneumonia|Virus Pneumonia": "viral",
}


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
    graded = line.get("label_kind", "").startswith("physician")
    mined = bool(line.get("task_pneumonia")) and not graded
    masked = {"view": not line["task_view"], "pneumonia": mined}
    return Row(
        path=line["file"],
        patient=line["patient_id"],
        study=line["file"].rsplit("/", 1)[-1].rsplit(".", 1)[0],
        view=view,
        labels=(labels if view in ("PA", "AP") else {}) | _pneumonia(line, graded),
        split=line["split"],
        source=line["source"],
        sha256=line["sha256"],
        mask=frozenset(head for head, hidden in masked.items() if hidden),
    )


def _pneumonia(line: dict[str, str], graded: bool) -> dict[str, float]:
    """pneumonia, and normal | bacterial | viral where a physician graded the image."""
    if not line.get("task_pneumonia"):
        return {}
    found = {"pneumonia": float(line["task_pneumonia"])}
    cause = _CAUSES.get(line.get("findings", "")) if graded else None
    if cause is None:
        return found
    return found | {name: float(name == cause) for name in _CAUSES.values()}
