"""NIH ChestX-ray14, both tables (arXiv 1705.02315), with its official lists.

Header names hold commas inside brackets (`OriginalImage[Width,Height]`) and the first
table ends each line with one more, so columns are taken by name from the left. Some
ages are impossible (414). Some images are RGBA. The names are spelled as elsewhere:
Pleural Effusion for Effusion, Pleural Thickening for Pleural_Thickening.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.readers.reading import with_view
from model.data.readers.tables import (
    NO_FINDING,
    age_of,
    label_name,
    lines,
    sex_of,
    table,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

SOURCE = "nih_cxr14"
FINDINGS = tuple(
    label_name(name)
    for name in (
        "Atelectasis",
        "Cardiomegaly",
        "Consolidation",
        "Edema",
        "Effusion",
        "Emphysema",
        "Fibrosis",
        "Hernia",
        "Infiltration",
        "Mass",
        "Nodule",
        "Pleural_Thickening",
        "Pneumonia",
        "Pneumothorax",
    )
)
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
_LISTS = {"train": "train_val_list.txt", "test": "test_list.txt"}
_NEEDED = ("Image Index", "Finding Labels", "Patient ID", "View Position")
_FOLDERS = ("images", "images_*/images", "images_*", ".")
_SUFFIXES = (".png", ".jpg", ".jpeg")


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of the newer table that is there; images also as .jpg of the same name."""
    del tally
    path = options.table or table(root, *TABLES)
    parts, files = official_parts(root), files_of(root)
    for cells in lines(path, _NEEDED):
        image = cells["Image Index"].strip()
        stem = image.rsplit(".", 1)[0]
        row = _row(cells, stem, files.get(stem, f"images/{image}"))
        yield with_view(replace(row, split=parts.get(image, "")))


def official_parts(root: Path) -> dict[str, str]:
    """Image name -> train or test, from the lists; empty when they are not there."""
    return {
        name.strip(): part
        for part, list_name in _LISTS.items()
        if (root / list_name).is_file()
        for name in (root / list_name).read_text("utf-8").splitlines()
    }


def patient_of(number: str) -> str:
    """One name for a patient here and in RSNA's selection from these images."""
    try:
        return f"nih-{int(number):08d}"
    except ValueError:
        raise ManifestError(
            f"patient {number!r} is not a number: use the table as it was published"
        ) from None


def files_of(root: Path) -> dict[str, str]:
    """Name without suffix -> path below root."""
    found: dict[str, str] = {}
    for folder in _FOLDERS:
        for path in sorted(root.glob(f"{folder}/*")):
            if path.suffix.lower() in _SUFFIXES:
                found.setdefault(path.stem, str(path.relative_to(root)))
    return found


def _row(cells: dict[str, str], stem: str, path: str) -> Row:
    return Row(
        path=path,
        patient=patient_of(cells["Patient ID"]),
        study=stem,
        view=view_of(cells["View Position"]),
        labels=_labels(cells["Finding Labels"]),
        split="",
        source=SOURCE,
        sha256="",
        sex=sex_of(cells.get("Patient Gender") or cells.get("Patient Sex", "")),
        age_years=age_of(cells.get("Patient Age", "")),
    )


def _labels(text: str) -> dict[str, float]:
    """Every finding is asked about, so one that is not listed is negative."""
    named = {label_name(name) for name in text.split("|")}
    unknown = named - {*FINDINGS, NO_FINDING}
    if unknown:
        raise ManifestError(
            f"the finding {min(unknown)!r} is none of ChestX-ray14's: use the table as"
            " it was published"
        )
    labels = {name: float(name in named) for name in FINDINGS}
    return {**labels, NO_FINDING: float(named == {NO_FINDING})}
