"""What people drew on images: boxes of NIH, RSNA and VinDr-CXR, as one table.

    image,label,x,y,width,height,frame_width,frame_height

image: name of the file without folder and suffix. x, y: left upper corner, in pixels of
the frame the boxes were drawn in, which may be larger than the copy at hand.
"""

from __future__ import annotations

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError
from model.data.readers.headers import header
from model.data.readers.tables import label_name, lines, optional_table, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

_NIH_SIDE = 1024.0
_NO_FINDING_ID = "14"


@dataclass(frozen=True)
class Marked:
    """One box of one image; frame: width and height of what it was drawn on."""

    image: str
    label: str
    x: float
    y: float
    width: float
    height: float
    frame_width: float
    frame_height: float

    def shares(self) -> tuple[float, float, float, float]:
        """left, top, width, height as shares of the frame."""
        wide, high = self.frame_width, self.frame_height
        return self.x / wide, self.y / high, self.width / wide, self.height / high


_COLUMNS = tuple(field.name for field in fields(Marked))


def image_name(path: str) -> str:
    """What a box table calls the image of a manifest row."""
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def nih(root: Path) -> Iterator[Marked]:
    """BBox_List_2017.csv, drawn on the published 1024 x 1024 pixels.

    Its header is `Bbox [x,y,w,h],,,`: the four numbers lie in columns that have no name
    of their own, so they are taken by place. `Infiltrate` is Infiltration.
    """
    path = table(root, "BBox_List_2017.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        names = next(rows, [])
        if [name.strip() for name in names[:2]] != ["Image Index", "Finding Label"]:
            raise ManifestError(
                f"{path.name} does not begin with Image Index and Finding Label: use"
                " the table as it was published"
            )
        for cells in rows:
            if cells:
                name = image_name(cells[0].strip())
                place = (*_numbers(path, cells[2:6]), _NIH_SIDE, _NIH_SIDE)
                yield Marked(name, label_name(cells[1]), *place)


def rsna(root: Path) -> Iterator[Marked]:
    """stage_2_train_labels.csv; lines with Target 0 have no box."""
    path = table(root, "stage_2_train_labels.csv")
    needed = ("patientId", "x", "y", "width", "height", "Target")
    for cells in lines(path, needed):
        if cells["Target"].strip() == "1":
            image = cells["patientId"].strip()
            numbers = _numbers(path, [cells[name] for name in needed[1:5]])
            frame = _frame(root / "stage_2_train_images" / f"{image}.dcm")
            place = (*numbers, *frame)
            yield Marked(image, "Lung Opacity", *place)


def vindr(root: Path) -> Iterator[Marked]:
    """Kaggle's train.csv, or PhysioNet's annotations_{train,test}.csv; every reader's
    boxes, on the pixels of the DICOM file.
    """
    tables = [(root / "train.csv", "train")] if (root / "train.csv").is_file() else []
    for part in ("train", "test"):
        found = optional_table(root / "annotations", f"annotations_{part}.csv")
        tables += [(found, part)] if found else []
    if not tables:
        raise ManifestError(
            f"{root.name or root} has neither train.csv nor annotations/annotations_"
            "train.csv: give the folder that holds them with --root"
        )
    for path, part in tables:
        yield from _corners(root, path, part)


READERS: dict[str, Callable[[Path], Iterator[Marked]]] = {
    "nih": nih,
    "rsna": rsna,
    "vindr": vindr,
}


def _corners(root: Path, path: Path, part: str) -> Iterator[Marked]:
    corners = ("x_min", "y_min", "x_max", "y_max")
    frames: dict[str, tuple[float, float]] = {}
    for cells in lines(path, ("image_id", "class_name", *corners)):
        if not cells["x_min"].strip() or cells.get("class_id", "") == _NO_FINDING_ID:
            continue
        image = cells["image_id"].strip()
        if image not in frames:
            frames[image] = _frame(root / part / f"{image}.dicom")
        left, top, right, bottom = _numbers(path, [cells[name] for name in corners])
        name = label_name(cells["class_name"])
        place = (left, top, right - left, bottom - top, *frames[image])
        yield Marked(image, name, *place)


def _frame(path: Path) -> tuple[float, float]:
    """Columns and rows of the DICOM file that the boxes are drawn on."""
    ds = header(path)
    if ds is None or not ds.get("Columns"):
        raise ManifestError(
            f"{path.name} is not there or not DICOM, so nobody knows how large what the"
            " boxes were drawn on is: give the folder with the images"
        )
    return float(ds.Columns), float(ds.Rows)


def _numbers(path: Path, cells: Iterable[str], n: int = 4) -> tuple[float, ...]:
    try:
        found = tuple(float(cell) for cell in cells)
    except ValueError:
        raise ManifestError(
            f"{path.name} has a box that is no number: use the table as it was"
            " published"
        ) from None
    if len(found) != n:
        raise ManifestError(f"{path.name} has a box without {n} numbers: correct it")
    return found


def write(path: Path, boxes: Iterable[Marked]) -> int:
    """Write the table; returns how many boxes."""
    rows = [astuple(box) for box in boxes]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        written = csv.writer(file, lineterminator="\n")
        written.writerow(_COLUMNS)
        written.writerows(rows)
    return len(rows)


def read(path: Path) -> list[Marked]:
    """Read the table; raises ManifestError."""
    if not path.is_file():
        raise ManifestError(f"there is no {path.name}: write it with `model boxes`")
    return [
        Marked(
            cells["image"],
            cells["label"],
            *_numbers(path, [cells[name] for name in _COLUMNS[2:6]]),
            *_numbers(path, [cells[name] for name in _COLUMNS[6:]], n=2),
        )
        for cells in lines(path, _COLUMNS)
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """READER, --root and --out."""
    parser.add_argument("reader", choices=sorted(READERS), help="whose boxes")
    parser.add_argument("--root", type=Path, required=True, help="the data set")
    parser.add_argument("--out", type=Path, required=True, help="table (CSV)")
    parser.set_defaults(verb=run)


def run(parsed: argparse.Namespace) -> str:
    """The verb: one table of boxes for `evaluate --boxes` and `explain --boxes`."""
    found = list(READERS[parsed.reader](parsed.root))
    if not found:
        raise ManifestError(f"no box below {parsed.root}: give another --root")
    n = write(parsed.out, found)
    n_images = len({box.image for box in found})
    return f"{n} boxes on {n_images} images: {parsed.out}"
