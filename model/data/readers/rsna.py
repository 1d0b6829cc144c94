"""RSNA pneumonia detection 2018 (10.1148/ryai.2019180041), stage 2 of the challenge.

The label table has one line per box, so an image comes several times. `patientId` names
an **image**: the images are NIH ChestX-ray14's and a person recurs. The published
mapping gives the NIH image and with it the patient; without it the patient is unknown.
RSNA and NIH share patients and are never external to each other.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.readers.headers import header, with_facts
from model.data.readers.nih import official_parts, patient_of
from model.data.readers.reading import with_view
from model.data.readers.tables import NO_FINDING, lines, optional_table, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

SOURCE = "rsna_pneumonia"
OPACITY = "Lung Opacity"
_MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
_FOLDER = "stage_2_train_images"
_CLASSES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """One row per image. NIH's official lists split it where they lie in root."""
    positive = _targets(table(root, "stage_2_train_labels.csv"))
    classes = _classes(optional_table(root, "stage_2_detailed_class_info.csv"))
    originals = _originals(
        options.mapping or optional_table(root, _MAPPING), positive, tally
    )
    parts = official_parts(root)
    for image, target in positive.items():
        original = originals.get(image, "")
        labels = {OPACITY: target, **_normal(classes.get(image))}
        path = f"{_FOLDER}/{image}.dcm"
        row = Row(
            path=path,
            patient=patient_of(original.split("_")[0]) if original else "",
            study=original.rsplit(".", 1)[0] or image,
            view="",
            labels=labels,
            split=parts.get(original, ""),
            source=SOURCE,
            sha256="",
        )
        yield with_view(with_facts(row, header(root / path)))


def _targets(path: Path) -> dict[str, float]:
    """Image -> 1 or 0, in the order of the table; lines of one image must agree."""
    found: dict[str, float] = {}
    for cells in lines(path, ("patientId", "Target")):
        target = float(cells["Target"].strip() == "1")
        if found.setdefault(cells["patientId"], target) != target:
            raise ManifestError(
                f"{path.name} has two answers for {cells['patientId']}: use the table"
                " as it was published"
            )
    return found


def _classes(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    return {
        cells["patientId"]: cells["class"]
        for cells in lines(path, ("patientId", "class"))
    }


def _normal(class_: str | None) -> dict[str, float]:
    if class_ is None:
        return {}
    if class_ not in _CLASSES:
        raise ManifestError(
            f"the class {class_!r} is none of the challenge's: use the table as it was"
            " published"
        )
    return {NO_FINDING: float(class_ == _CLASSES[0])}


def _originals(
    path: Path | None, wanted: dict[str, float], tally: Tally
) -> dict[str, str]:
    """Image -> the NIH image it was made from; empty without the mapping."""
    if path is None:
        tally.notes.append(
            f"without {_MAPPING} the patients are unknown: put it into the root or"
            " give it with --mapping"
        )
        return {}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        found = {str(e["subset_img_id"]): str(e["img_id"]) for e in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{path.name} is not a list of subset_img_id and img_id ({error}): use the"
            " file as it was published"
        ) from error
    lost = [image for image in wanted if image not in found]
    if lost:
        raise ManifestError(
            f"{path.name} does not know {len(lost)} images, the first is {lost[0]}: use"
            " the mapping of the whole challenge"
        )
    return found
