"""What the pages say in each language beside English; a test keeps them complete."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Catalogue:
    """``name`` is the language's own name; ``phrases`` English -> translated."""

    name: str
    phrases: Mapping[str, str]


CATALOGUES: Mapping[str, Catalogue] = {}
