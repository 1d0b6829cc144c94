"""PadChest (arXiv 1901.07441): one table, 16-bit PNG files in numbered folders.

`Labels` is a Python list written as text, with stray blanks and empty names. Only 27 %
of the reports were labelled by physicians (`MethodLabel`). Images marked EXCLUDE are of
no use and always left out, and so are truncated files, of which there are some.
"""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError, Row
from model.data.readers.reading import admitted
from model.data.readers.tables import (
    KNOWN_FINDINGS,
    age_of,
    label_name,
    lines,
    sex_of,
    view_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from model.data.readers.reading import Options, Tally

SOURCE = "padchest"
_NEEDED = ("ImageID", "StudyID", "PatientID", "Projection", "Labels")
_PHYSICIAN = "physician"
_EXCLUDED = "EXCLUDE"
_NOT_FINDINGS = frozenset({"", "exclude", "suboptimal study", "unchanged"})
_PATTERN = "PADCHEST_chest_x_ray_images_labels_160K*.csv"
_YEAR = 4
_LEAST_SHARE = 0.01


def read(root: Path, options: Options, tally: Tally) -> Iterator[Row]:
    """Rows of the table; options.labels is all (default) or physician.

    A label is a finding that other data sets have too, or that at least 1 % of the
    table lists; it is negative on a labelled image that does not list it.
    """
    path = options.table or _table(root)
    asked = _asked(path, tally)
    yield from admitted(_rows(root, path, asked, options, tally), options, tally)


def _asked(path: Path, tally: Tally) -> list[str]:
    counts: Counter[str] = Counter()
    n = 0
    for cells in lines(path, _NEEDED):
        n += 1
        counts.update(set(_names(cells["Labels"]) or ()))
    asked = [
        name
        for name, count in sorted(counts.items())
        if name in KNOWN_FINDINGS or count >= _LEAST_SHARE * n
    ]
    tally.notes.append(
        f"{len(asked)} of {len(counts)} findings are labels; the others are rare"
    )
    return asked


def _rows(
    root: Path, path: Path, asked: list[str], options: Options, tally: Tally
) -> Iterator[Row]:
    for cells in lines(path, _NEEDED):
        names = _names(cells["Labels"])
        if _is_wanted(cells, names, options, tally):
            yield _row(root, cells, names or [], asked)


def _table(root: Path) -> Path:
    found = sorted([*root.glob(_PATTERN), *root.glob(f"{_PATTERN}.gz")])
    if not found:
        raise ManifestError(
            f"{root.name or root} has no {_PATTERN}: give the folder that holds it with"
            " --root, or the table with --table"
        )
    return found[-1]


def _is_wanted(
    cells: dict[str, str], names: list[str] | None, options: Options, tally: Tally
) -> bool:
    if cells["Projection"].strip().upper() == _EXCLUDED:
        tally.left_out["marked EXCLUDE"] += 1
        return False
    if names is None:
        tally.left_out["not labelled"] += 1
        return False
    method = cells.get("MethodLabel", "").strip().lower()
    if options.labels == _PHYSICIAN and method != _PHYSICIAN:
        tally.left_out["not labelled by a physician"] += 1
        return False
    return True


def _names(text: str) -> list[str] | None:
    """The findings of a list written as text; None when there is no list."""
    if text.strip().lower() in ("", "nan"):
        return None
    try:
        listed = ast.literal_eval(text.strip())
    except (ValueError, SyntaxError) as error:
        raise ManifestError(
            f"the Labels cell {text!r} is not a list: use the table as it was published"
        ) from error
    plain = [str(name).strip().lower() for name in listed]
    return [label_name(name) for name in plain if name not in _NOT_FINDINGS]


def _row(root: Path, cells: dict[str, str], names: list[str], asked: list[str]) -> Row:
    return Row(
        path=_file(root, cells),
        patient=f"padchest-{cells['PatientID'].strip()}",
        study=f"padchest-{cells['StudyID'].strip()}",
        view=view_of(cells["Projection"]),
        labels={name: float(name in names) for name in asked},
        split="",
        source=SOURCE,
        sha256="",
        sex=sex_of(cells.get("PatientSex_DICOM", "")),
        age_years=_age(cells),
        manufacturer=cells.get("Manufacturer_DICOM", "").strip(),
    )


def _file(root: Path, cells: dict[str, str]) -> str:
    """In its numbered folder, or with all others in one."""
    image, folder = cells["ImageID"].strip(), cells.get("ImageDir", "").strip()
    names = [f"{folder}/{image}", image, f"images/{image}", f"images-224/{image}"]
    return next((name for name in names if (root / name).is_file()), names[0])


def _age(cells: dict[str, str]) -> str:
    """Years between the year of birth and the study; only the year is published."""
    birth = cells.get("PatientBirth", "").split(".")[0].strip()
    study = cells.get("StudyDate_DICOM", "").strip()[:_YEAR]
    if not (birth.isdecimal() and study.isdecimal()):
        return ""
    return age_of(str(int(study) - int(birth)))
