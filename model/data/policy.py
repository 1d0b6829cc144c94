"""What an uncertain or a blank label means for training: decided when targets are made.

The manifest keeps what the data set said; the same manifest serves every policy.
Uncertain labels, see CheXpert (arXiv 1901.07031, U-Ones and the like) and Pham et al.
(arXiv 1911.06475, soft labels drawn from an interval).
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from model.data.manifest import ManifestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from model.data.manifest import Row

DEFAULT = "default"
_SOFT = re.compile(r"soft\(\s*([0-9.]+)\s*,\s*([0-9.]+)\s*\)")


@dataclass(frozen=True)
class Soft:
    """A target drawn evenly from [low, high), fixed for each image and label."""

    low: float
    high: float

    def value(self, row: Row, label: str) -> float:
        """The draw for this image: a function of its path and the label alone."""
        drawn = hashlib.sha256(f"{label}\0{row.path}".encode()).digest()
        share = int.from_bytes(drawn[:8], "big") / 2**64
        return self.low + (self.high - self.low) * share


IGNORE, ONES, ZEROS = Soft(math.nan, math.nan), Soft(1.0, 1.0), Soft(0.0, 0.0)
_NAMED = {"ignore": IGNORE, "ones": ONES, "zeros": ZEROS}
_BLANK = {"ignore": math.nan, "negative": 0.0}


@dataclass(frozen=True)
class LabelPolicy:
    """uncertain: label name, or `default`, -> what -1 becomes; ignored when not named.

    blank: label name, or `default`, -> NaN (ignored) or 0 (negative).
    """

    uncertain: Mapping[str, Soft] = field(default_factory=dict)
    blank: Mapping[str, float] = field(default_factory=dict)

    def target(self, row: Row, label: str) -> float:
        """1, 0 or in between; NaN where the loss must not count."""
        if label in row.mask:
            return math.nan
        if label in row.labels:
            return row.labels[label]
        if label in row.uncertain:
            chosen = self.uncertain.get(label) or self.uncertain.get(DEFAULT, IGNORE)
            return chosen.value(row, label)
        if label in row.blank:
            return self.blank.get(label, self.blank.get(DEFAULT, math.nan))
        return math.nan


def parse_policy(
    uncertain: str | Mapping[str, str] = "ignore",
    blank: str | Mapping[str, str] = "ignore",
) -> LabelPolicy:
    """A policy from the words of a recipe.

    uncertain: `ignore`, `ones`, `zeros` or `soft(low,high)`, for all labels or by
    label name with `default` for the rest. blank: `ignore` or `negative`, likewise.
    Raises ManifestError for another word.
    """
    return LabelPolicy(
        {name: _uncertain(word) for name, word in _table(uncertain).items()},
        {name: _blank(word) for name, word in _table(blank).items()},
    )


def _table(words: str | Mapping[str, str]) -> Mapping[str, str]:
    return {DEFAULT: words} if isinstance(words, str) else words


def _uncertain(word: str) -> Soft:
    if word in _NAMED:
        return _NAMED[word]
    soft = _SOFT.fullmatch(word)
    if soft:
        low, high = float(soft[1]), float(soft[2])
        if 0 <= low <= high <= 1:
            return Soft(low, high)
    raise ManifestError(
        f"the policy {word!r} for uncertain labels is unknown:"
        " use ignore, ones, zeros or soft(low,high) with 0 <= low <= high <= 1"
    )


def _blank(word: str) -> float:
    if word not in _BLANK:
        raise ManifestError(
            f"the policy {word!r} for blank labels is unknown: use ignore or negative"
        )
    return _BLANK[word]
