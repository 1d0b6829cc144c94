"""Kermany's paediatric chest radiographs (10.17632/rscbjbr9sj), folders by class.

The patient is in the file name: `person123_bacteria_456`, `IM-0115-0001`,
`NORMAL2-IM-0376-0001`. Bacterial and viral films of one number, and the two normal
series, are taken for one person: too few patients rather than too many. The official
parts are not patient-clean and validation has 16 images, so the split is ours. The
labels have names of their own: children's pneumonia never shares a head with adults'.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.readers.folders import image_files, part_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

SOURCE = "kermany_paed"
_CLASSES = ("normal", "pneumonia")
_PNEUMONIA = re.compile(r"person(\d+)_(bacteria|virus)_\d+(?:_\d+)?", re.IGNORECASE)
_NORMAL = re.compile(r"(?:NORMAL2-)?IM-(\d+)-\d+(?:-\d+)?", re.IGNORECASE)


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of `[part/]class/file`, the class in capitals or not."""
    del options
    found = 0
    for path in image_files(root):
        class_, above = path.parent.name.lower(), path.parent.parent.name
        if class_ not in _CLASSES:
            continue
        found += 1
        row = _row(path, class_, part_of(above))
        if row is None:
            tally.left_out["no patient number in the file name"] += 1
        else:
            yield row
    if not found:
        raise ManifestError(
            f"{root.name or root} has no folder NORMAL or PNEUMONIA with images: give"
            " the folder above them with --root"
        )


def _row(path: Path, class_: str, part: str) -> Row | None:
    ill = _PNEUMONIA.fullmatch(path.stem)
    well = _NORMAL.fullmatch(path.stem)
    named = ill if class_ == "pneumonia" else well
    if named is None:
        return None
    kind = ill[2].lower() if ill else ""
    return Row(
        path=str(path),
        patient=f"kermany-{'P' if ill else 'N'}{int(named[1]):04d}",
        study=path.stem,
        view="AP",
        labels={
            "pneumonia": float(bool(ill)),
            "normal": float(not ill),
            "bacterial": float(kind == "bacteria"),
            "viral": float(kind == "virus"),
            "view-PA": 0.0,
            "view-AP": 1.0,
        },
        split=part,
        source=SOURCE,
        sha256="",
        # All are AP: learning the view here would be learning the data set
        mask=frozenset({"view", "view-PA", "view-AP"}),
    )
