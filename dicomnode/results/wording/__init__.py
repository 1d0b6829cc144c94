"""The fixed texts of the reports in every language they exist in."""

from __future__ import annotations

from dicomnode.results.wording import (
    chinese,
    english,
    french,
    german,
    japanese,
    spanish,
)
from dicomnode.results.wording.wording import Wording

ENGLISH = english.WORDING
WORDINGS: dict[str, Wording] = {
    one.language: one
    for one in (
        ENGLISH,
        german.WORDING,
        french.WORDING,
        spanish.WORDING,
        chinese.WORDING,
        japanese.WORDING,
    )
}

__all__ = ["ENGLISH", "WORDINGS", "Wording", "wording_of"]


def wording_of(language: str) -> Wording:
    """The texts of a language; of ``en-US`` those of ``en``. Raises KeyError."""
    return WORDINGS[language.partition("-")[0]]
