"""VinDr-CXR as on Kaggle and as on PhysioNet 1.0.0 (arXiv 2012.15029).

Each training image was read by three of seventeen radiologists: Kaggle has one line per
box, or one with class 14 "No finding" per reader; PhysioNet has one line per image and
reader. A class that a reader does not name is negative for that reader. The test images
are the consensus of five. Nothing says who the patient is. Photometric interpretation
and bit depth vary: the files go through `model.pixels`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.readers.headers import header, with_facts
from model.data.readers.reading import with_view
from model.data.readers.tables import (
    NO_FINDING,
    label_name,
    label_value,
    lines,
    optional_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

SOURCE = "vindr_cxr"
_KAGGLE = ("image_id", "class_name", "class_id", "rad_id")
_NO_FINDING_ID = "14"
_NOT_LABELS = ("image_id", "rad_id")
_MOST = 0.5
# What Kaggle's class ids 0 to 13 are called
_CLASSES = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
)
Votes = dict[str, dict[str, dict[str, float]]]  # image -> reader -> label -> 1 or 0


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of either layout; options.readers joins the readers of an image."""
    del tally
    parts = {
        part: optional_table(root / "annotations", f"image_labels_{part}.csv")
        for part in ("train", "test")
    }
    if any(parts.values()):
        for part, path in parts.items():
            if path:
                yield from _rows(root, _by_line(path), part, options)
        return
    kaggle = optional_table(root, "train.csv")
    if kaggle is None:
        raise ManifestError(
            f"{root.name or root} has neither train.csv nor annotations/image_labels_"
            "train.csv: give the folder that holds them with --root"
        )
    yield from _rows(root, _by_box(kaggle), "", options)


def _by_line(path: Path) -> Votes:
    votes: Votes = {}
    for cells in lines(path, ("image_id",)):
        said = {
            label_name(name): label_value(value, name) or 0.0
            for name, value in cells.items()
            if name and name not in _NOT_LABELS
        }
        votes.setdefault(cells["image_id"], {})[cells.get("rad_id", "")] = said
    return votes


def _by_box(path: Path) -> Votes:
    votes: Votes = {}
    for cells in lines(path, _KAGGLE):
        readers = votes.setdefault(cells["image_id"], {})
        said = readers.setdefault(cells["rad_id"], _nothing_seen())
        if cells["class_id"].strip() == _NO_FINDING_ID:
            said[NO_FINDING] = 1.0
        else:
            said[_class_name(cells["class_name"], path)] = 1.0
    return votes


def _nothing_seen() -> dict[str, float]:
    return dict.fromkeys([*map(label_name, _CLASSES), NO_FINDING], 0.0)


def _class_name(name: str, path: Path) -> str:
    if name not in _CLASSES:
        raise ManifestError(
            f"{path.name} has the class {name!r}, which is none of the competition's:"
            " use the table as it was published"
        )
    return label_name(name)


def _rows(root: Path, votes: Votes, part: str, options: Options) -> Iterator[Row]:
    folder = part or "train"
    for image, readers in votes.items():
        path = f"{folder}/{image}.dicom"
        labels, disagree = _joined(list(readers.values()), options.readers)
        row = Row(
            path=path,
            patient="",
            study=image,
            view="",
            labels=labels,
            uncertain=disagree,
            split=part,
            source=SOURCE,
            sha256="",
        )
        yield with_view(with_facts(row, header(root / path)))


def _joined(
    readers: list[dict[str, float]], how: str
) -> tuple[dict[str, float], frozenset[str]]:
    """Labels by majority, by any, or as the share of readers; a tie is uncertain."""
    names = {name for reader in readers for name in reader}
    shares = {
        name: sum(reader.get(name, 0.0) for reader in readers) / len(readers)
        for name in sorted(names)
    }
    if how == "mean":
        return shares, frozenset()
    least = 0.0 if how == "any" else _MOST
    tied = frozenset(n for n, share in shares.items() if share == least == _MOST)
    return {n: float(s > least) for n, s in shares.items() if n not in tied}, tied
