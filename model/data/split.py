"""Train, validation and test by patient, frozen: new data never moves a patient.

A patient's part is a function of the patient's name alone. It cannot be stratified and
stable at once; over many patients the parts come out alike, and `prepare` prints the
labels of each part.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from model.data.manifest import ManifestError, shared_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.data.manifest import Row

SplitKind = Literal["official", "hash"]
UNKNOWN_PATIENT = "unknown:"
_SALT = "dicomnode split 1"
_KEPT_FIRST = {"test": 0, "val": 1, "train": 2}


@dataclass(frozen=True)
class SplitRule:
    """kind: `official` keeps the parts a data set comes with, `hash` makes our own.

    val, test: shares of the patients. no_groups: images without a patient may be split
    as if each were a patient of its own.
    """

    kind: SplitKind = "official"
    val: float = 0.1
    test: float = 0.1
    no_groups: bool = False

    def __post_init__(self) -> None:
        if not (self.val >= 0 and self.test >= 0 and self.val + self.test < 1):
            raise ManifestError(
                f"val {self.val:g} and test {self.test:g} leave nothing to train:"
                " give shares that are at least 0 and together below 1"
            )

    def part(self, patient: str) -> str:
        """The part of a patient whom no official list names."""
        place = place_of(patient)
        if place < self.test:
            return "test"
        return "val" if place < self.test + self.val else "train"


def place_of(patient: str) -> float:
    """A number in [0, 1) that depends on the patient's name and nothing else."""
    hashed = hashlib.sha256(f"{_SALT}\0{patient}".encode()).digest()
    return int.from_bytes(hashed[:6], "big") / 2**48


def assign(rows: Sequence[Row], rule: SplitRule, left_out: Counter[str]) -> list[Row]:
    """The rows with their part; `split` holds the official part, or "" where none is.

    Where the official parts have no validation part, a share of the training patients
    becomes it. Raises ManifestError when we would have to split images whose patient is
    unknown, and when an official part shares patients with another.
    """
    official = {row.split for row in rows if row.split}
    strange = official - set(_KEPT_FIRST)
    if strange:
        raise ManifestError(
            f"there is a part called {min(strange)!r}: call it train, val or test"
        )
    if rule.kind == "hash" or not official:
        split = [_ours(row, rule) for row in rows]
    else:
        split = _official(rows, official, rule, left_out)
    named = [row if row.patient else _alone(row) for row in split]
    _check_patients(named, rule)
    return named


def without_copies(rows: Sequence[Row], left_out: Counter[str]) -> list[Row]:
    """Leave out of training what is also, byte for byte, in validation or test."""
    best: dict[str, int] = {}
    for row in rows:
        order = _KEPT_FIRST[row.split]
        best[row.sha256] = min(best.get(row.sha256, order), order)
    kept = [row for row in rows if _KEPT_FIRST[row.split] == best[row.sha256]]
    left_out["the same file is in another part"] += len(rows) - len(kept)
    return kept


def _official(
    rows: Sequence[Row], parts: set[str], rule: SplitRule, left_out: Counter[str]
) -> list[Row]:
    kept = [row for row in rows if row.split]
    left_out["in none of the official parts"] += len(rows) - len(kept)
    if "val" in parts or rule.val == 0:
        return kept
    return [replace(row, split="val") if _is_carved(row, rule) else row for row in kept]


def _is_carved(row: Row, rule: SplitRule) -> bool:
    return row.split == "train" and (
        rule.test <= place_of(_key(row, rule)) < rule.test + rule.val
    )


def _ours(row: Row, rule: SplitRule) -> Row:
    if rule.val == rule.test == 0:
        return replace(row, split="train")
    return replace(row, split=rule.part(_key(row, rule)))


def _key(row: Row, rule: SplitRule) -> str:
    if row.patient or rule.no_groups:
        return row.patient or row.path
    raise ManifestError(
        f"the patient of {row.path} is unknown, and images of one patient must not be"
        " split: give the patients, --val 0 --test 0 to split nothing, or --no-groups"
        " to take each image for a patient of its own"
    )


def _alone(row: Row) -> Row:
    return replace(row, patient=f"{UNKNOWN_PATIENT}{row.path}")


def _check_patients(rows: Sequence[Row], rule: SplitRule) -> None:
    shared = list(shared_keys(rows, "patient"))
    if shared:
        remedy = "--split hash" if rule.kind == "official" else "other patient names"
        raise ManifestError(
            f"{len(shared)} patients are in more than one part, the first is"
            f" {shared[0]}: use {remedy}"
        )
