"""`python -m model check-leak`: what training has seen of validation and test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.data import manifest
from model.data.files import locate, read_image
from model.data.manifest import ManifestError, shared_keys
from model.data.perceptual import (
    LEAST_CORRELATION,
    correlation,
    difference_hash,
    near_pairs,
    thumbnail,
)
from model.data.progress import progress
from model.data.split import UNKNOWN_PATIENT
from model.pixels import UnsupportedPixels

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from model.data.manifest import Row

_SHOWN = 10
_REMEDIES = {
    "patient": "split again by patient (`prepare --split hash`), or leave these"
    " patients out of all parts but one",
    "sha256": "leave these images out of all parts but one",
    "near": "look at each pair; where it is one image or one person, leave it out of"
    " all parts but one",
}


@dataclass(frozen=True)
class Leaks:
    """What was found. near: pairs with their correlation. unread: images not looked at.

    patients, files: value -> rows in more than one part.
    """

    patients: dict[str, list[Row]]
    files: dict[str, list[Row]]
    near: tuple[tuple[Row, Row, float], ...] = ()
    unread: int = 0

    def __bool__(self) -> bool:
        """True when anything was found."""
        return bool(self.patients or self.files or self.near)

    def __str__(self) -> str:
        """Each finding with examples, then its remedy."""
        said = _shared("patients", self.patients, _REMEDIES["patient"])
        said += _shared("equal files", self.files, _REMEDIES["sha256"])
        if self.near:
            pairs = [
                f"{_place(a)} and {_place(b)} correlate by {value:.4f}"
                for a, b, value in self.near
            ]
            said += _listed("near-duplicates", pairs, _REMEDIES["near"])
        return "\n".join(said)


def find_leaks(rows: Sequence[Row], roots: Sequence[Path] = ()) -> Leaks:
    """Patients and equal files in several parts; with roots near-duplicates too.

    A near-duplicate that is already found as a patient or as an equal file is not
    told twice. Mirrored, inverted or cropped copies are not found.
    """
    patients, files = shared_keys(rows, "patient"), shared_keys(rows, "sha256")
    if not roots:
        return Leaks(patients, files)
    near, unread = _near(rows, roots)
    return Leaks(patients, files, tuple(near), unread)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("manifests", type=Path, nargs="+", metavar="MANIFEST")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        help="folder of the images: look for near-duplicates too",
    )


def run(parsed: argparse.Namespace) -> str:
    """The verb; raises ManifestError, exit code 1, when something is found."""
    rows = [row for path in parsed.manifests for row in manifest.read(path)]
    leaks = find_leaks(rows, parsed.data)
    if leaks:
        raise ManifestError(str(leaks))
    return "\n".join(_clean(rows, leaks, near=bool(parsed.data)))


def _clean(rows: Sequence[Row], leaks: Leaks, *, near: bool) -> list[str]:
    said = [f"no patient and no file of {len(rows)} images is in more than one part"]
    if near:
        said.append(f"no near-duplicates; {leaks.unread} images could not be read")
    else:
        said.append("near-duplicates were not looked for: give --data")
    unknown = sum(row.patient.startswith(UNKNOWN_PATIENT) for row in rows)
    if unknown:
        said.append(f"the patients of {unknown} images are unknown and may be shared")
    return said


def _near(
    rows: Sequence[Row], roots: Sequence[Path]
) -> tuple[list[tuple[Row, Row, float]], int]:
    hashes, small, read = [], [], []
    for row in progress(rows, "looking at images"):
        try:
            image = read_image(locate(row, roots))
        except (ManifestError, UnsupportedPixels):
            continue
        hashes.append(difference_hash(image))
        small.append(thumbnail(image))
        read.append(row)
    if not read:
        raise ManifestError("none of the images can be read: give their folder --data")
    found = []
    for i, j in near_pairs(np.stack(hashes), [row.split for row in read]):
        alike = correlation(small[i], small[j])
        if alike >= LEAST_CORRELATION and _is_new(read[i], read[j]):
            found.append((read[i], read[j], alike))
    return found, len(rows) - len(read)


def _is_new(first: Row, second: Row) -> bool:
    return first.patient != second.patient and first.sha256 != second.sha256


def _shared(what: str, found: dict[str, list[Row]], remedy: str) -> list[str]:
    if not found:
        return []
    return _listed(
        f"{what} in more than one part",
        [f"{key}: {', '.join(_one_of_each(rows))}" for key, rows in found.items()],
        remedy,
    )


def _one_of_each(rows: Iterable[Row]) -> list[str]:
    """One image of each part."""
    first = {row.split: row for row in reversed(list(rows))}
    return [_place(first[part]) for part in sorted(first)]


def _place(row: Row) -> str:
    return f"{row.path} ({row.source}, {row.split})"


def _listed(title: str, found: Sequence[str], remedy: str) -> list[str]:
    more = len(found) - _SHOWN
    rest = [f"  and {more} more"] if more > 0 else []
    return [
        f"{len(found)} {title}:",
        *(f"  {one}" for one in found[:_SHOWN]),
        *rest,
        f"remedy: {remedy}",
    ]
