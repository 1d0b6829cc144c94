"""One language: English phrase -> phrase."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Catalogue:
    """``name`` is what its speakers call the language."""

    name: str
    phrases: Mapping[str, str]
