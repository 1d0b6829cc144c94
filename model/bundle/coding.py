"""Coded concepts, as bundle.json has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CodeEntry:
    """A coded concept: value, coding scheme designator, meaning (PS3.3 8)."""

    value: str
    scheme: str
    meaning: str


def coded(item: dict[str, Any]) -> CodeEntry:
    """From `value`, `scheme` and `meaning`; KeyError when one is missing."""
    return CodeEntry(str(item["value"]), str(item["scheme"]), str(item["meaning"]))
