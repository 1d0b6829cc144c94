"""CheXpert-v1.0, full size and -small (arXiv 1901.07031).

The folder before train|valid|test differs between the two and between mirrors. AP/PA
says LL or RL on 17 images that are flagged frontal: these are taken for laterals whose
view is not certain. "No Finding" is 1 or blank, never 0. Every row carries the labels
of its own study; nothing is filled in from another.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.readers.reading import admitted
from model.data.readers.tables import (
    CHEXPERT_14,
    age_of,
    findings,
    lines,
    optional_table,
    sex_of,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

SOURCE = "chexpert"
_TABLES = {
    "train": ("train.csv",),
    "val": ("valid.csv", "val_labels.csv"),
    "test": ("test.csv", "test_labels.csv", "groundtruth.csv"),
}
_STUDY = re.compile(r"(?:^|/)((?:train|valid|val|test)/(patient\d+)/(study\d+))(/.+)?$")


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of every table that is there; raises ManifestError when none is."""
    tables = {part: optional_table(root, *names) for part, names in _TABLES.items()}
    if not any(tables.values()):
        raise ManifestError(
            f"{root.name or root} has no train.csv, valid.csv or test.csv: give the"
            " folder that holds them with --root"
        )
    for part, path in tables.items():
        if path:
            yield from admitted(_rows(root, path, part), options, tally)


def _rows(root: Path, path: Path, part: str) -> Iterator[Row]:
    for cells in lines(path):
        for image in _images(root, cells, path):
            yield _row(image, cells, part)


def _images(root: Path, cells: dict[str, str], path: Path) -> list[str]:
    """The image of the line, or all images where the line is a study."""
    if "Path" in cells:
        return [relative(cells["Path"], path.name)]
    if "Study" not in cells:
        raise ManifestError(
            f"{path.name} lacks the column Path: use the table as it was published"
        )
    folder = relative(cells["Study"], path.name)
    return [f"{folder}/{file.name}" for file in sorted((root / folder).glob("view*"))]


def relative(text: str, table_name: str) -> str:
    """The path from train|valid|test on."""
    found = _STUDY.search(text)
    if not found:
        raise ManifestError(
            f"{table_name} has the path {text!r} without train/patient../study..: use"
            " the table as it was published"
        )
    return found[1] + (found[4] or "")


def patient_and_study(image: str) -> tuple[str, str]:
    """Names that CheXpert and CheXpert Plus share, from a path as above."""
    _, patient, study, *_ = image.split("/")
    return f"chexpert-{patient}", f"chexpert-{patient}-{study}"


def view_in(image: str, frontal: str, projection: str) -> str:
    """PA, AP, LATERAL or FRONTAL; a projection that contradicts the flag: LATERAL?"""
    flag = frontal or (
        "Lateral" if "lateral" in image.rsplit("/", 1)[-1] else "Frontal"
    )
    if flag.strip().lower() == "lateral":
        return "LATERAL"
    view = view_of(projection)
    return "LATERAL?" if view == "LATERAL" else view or "FRONTAL"


def _row(image: str, cells: dict[str, str], part: str) -> Row:
    patient, study = patient_and_study(image)
    known = findings(cells, [name for name in CHEXPERT_14 if name in cells])
    age = age_of(cells.get("Age", ""))
    return Row(
        path=image,
        patient=patient,
        study=study,
        view=view_in(image, cells.get("Frontal/Lateral", ""), cells.get("AP/PA", "")),
        labels=known.labels,
        uncertain=known.uncertain,
        blank=known.blank,
        split=part,
        source=SOURCE,
        sha256="",
        sex=sex_of(cells.get("Sex", "")),
        age_years="" if age == "0" else age,
    )
