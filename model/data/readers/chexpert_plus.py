"""CheXpert Plus: CheXpert's patients with DICOM, PNG and reports (arXiv 2405.19538).

The labels are JSON lines keyed by path_to_image. Reports were de-identified once per
image, so one study has different copies of its report and different labels
(Stanford-AIMI/chexpert-plus issue 13): the labels of the first image that has any are
used, whole, for all images of the study. A section that is empty was labelled all the
same, mostly as "No Finding": such labels are dropped.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from model.data.manifest import ManifestError, Row
from model.data.readers.chexpert import patient_and_study, relative, view_in
from model.data.readers.reading import admitted
from model.data.readers.tables import (
    CHEXPERT_14,
    UNLABELLED,
    Findings,
    age_of,
    findings,
    lines,
    sex_of,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

SOURCE = "chexpert_plus"
_TABLE = "df_chexpert_plus_240401.csv"
_SECTIONS = {
    "impression": "section_impression",
    "findings": "section_findings",
    "report": "report",
}
_NEEDED = ("path_to_image", "frontal_lateral", "ap_pa", "split")
_PARTS = {"train": "train", "valid": "val"}
_FOLDERS = ("", "PNG/", "DICOM/")
_SUFFIXES = (".png", ".jpg", ".dcm")


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of the table; options.labels is the report section, else impression."""
    section = options.labels or "impression"
    if section not in _SECTIONS:
        raise ManifestError(
            f"--labels {section} is unknown: use {', '.join(_SECTIONS)}"
        )
    columns = (*_NEEDED, "age", "sex", _SECTIONS[section])
    images = [
        {name: cells[name] for name in columns if name in cells}
        for cells in lines(table(root, _TABLE), _NEEDED)
    ]
    by_image = _labels(root, section)
    by_study = _one_per_study(images, by_image, section, tally)
    rows = (_row(root, cells, by_study) for cells in images)
    yield from admitted(rows, options, tally)


def _labels(root: Path, section: str) -> dict[str, Findings]:
    path = table(
        root,
        f"chexbert_labels/{section}_fixed.json",
        f"{section}_fixed.json",
    )
    with path.open(encoding="utf-8") as file:
        return dict(_labelled(line, path) for line in file if line.strip())


def _labelled(line: str, path: Path) -> tuple[str, Findings]:
    try:
        said: dict[str, Any] = json.loads(line)
        image = relative(said["path_to_image"], path.name)
        cells = {name: _text(said.get(name)) for name in CHEXPERT_14}
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{path.name} is not one JSON object with path_to_image a line ({error}):"
            " use the file as it was published"
        ) from error
    return image, findings(cells, CHEXPERT_14)


def _text(value: object) -> str:
    return "" if value is None or value != value else str(value)  # noqa: PLR0124 - NaN


def _one_per_study(
    images: list[dict[str, str]],
    by_image: dict[str, Findings],
    section: str,
    tally: Tally,
) -> dict[str, Findings]:
    """Study -> the labels of its first labelled image, never a mixture."""
    chosen: dict[str, Findings] = {}
    different, empty = set(), set()
    for cells in sorted(images, key=lambda cells: cells["path_to_image"]):
        image = relative(cells["path_to_image"], _TABLE)
        study = patient_and_study(image)[1]
        said = by_image.get(image, UNLABELLED)
        if not cells.get(_SECTIONS[section], "-").strip():
            empty.add(study)
        elif said != UNLABELLED and said != chosen.setdefault(study, said):
            different.add(study)
    tally.notes.append(
        f"{len(different)} studies have different labels on copies of one report: those"
        f" of the first image are used; {len(empty - set(chosen))} studies have no"
        f" {section}: they are unlabelled"
    )
    return chosen


def _row(root: Path, cells: dict[str, str], by_study: dict[str, Findings]) -> Row:
    image = relative(cells["path_to_image"], _TABLE)
    patient, study = patient_and_study(image)
    known = by_study.get(study, UNLABELLED)
    return Row(
        path=_file(root, image),
        patient=patient,
        study=study,
        view=view_in(image, cells["frontal_lateral"], cells["ap_pa"]),
        labels=known.labels,
        uncertain=known.uncertain,
        blank=known.blank,
        split=_PARTS.get(cells["split"].strip(), ""),
        source=SOURCE,
        sha256="",
        sex=sex_of(cells.get("sex", "")),
        age_years=age_of(cells.get("age", "")),
    )


def _file(root: Path, image: str) -> str:
    """The image as PNG, JPEG or DICOM, whichever of them is there."""
    stem = image.rsplit(".", 1)[0]
    names = [f"{top}{stem}{suffix}" for top in _FOLDERS for suffix in _SUFFIXES]
    return next((name for name in names if (root / name).is_file()), image)
