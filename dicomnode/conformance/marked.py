"""Generated tables inside a document that people write: between two marks each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dicomnode.errors import ConfigError

_MARK = "<!-- generated: {name} -->\n"
_END = "<!-- end of {name} -->"
_BLOCK = re.compile(
    r"<!-- generated: (?P<name>[a-z0-9-]+) -->\n(?P<text>.*?)<!-- end of (?P=name) -->",
    re.DOTALL,
)
_BEGINNING = re.compile(r"<!-- generated: ([a-z0-9-]+) -->")


@dataclass(frozen=True, slots=True)
class Differing:
    """A block that is not as it must be; ``reason`` says how."""

    name: str
    reason: str


def filled(text: str, tables: Mapping[str, str]) -> str:
    """``text`` with the tables of now between the marks.

    Raises ConfigError for a block that has no end, or a name that there is not.
    """
    for found in _broken(text, tables):
        raise ConfigError(f"block {found.name!r}: {found.reason}")
    return _BLOCK.sub(lambda block: _written(block["name"], tables), text)


def differing(text: str, tables: Mapping[str, str]) -> tuple[Differing, ...]:
    """The blocks of ``text`` that differ, are broken, or are missing."""
    found = list(_broken(text, tables))
    there = {block["name"]: block[0] for block in _BLOCK.finditer(text)}
    for name in tables:
        if name not in _BEGINNING.findall(text):
            found.append(Differing(name, "is missing; add its two marks"))
        elif name in there and there[name] != _written(name, tables):
            found.append(Differing(name, "is not what the program does now"))
    return tuple(found)


def _broken(text: str, tables: Mapping[str, str]) -> Iterator[Differing]:
    whole = [block["name"] for block in _BLOCK.finditer(text)]
    for name in _BEGINNING.findall(text):
        if name not in tables:
            known = ", ".join(tables)
            yield Differing(name, f"there is no such table; the names are {known}")
        elif name not in whole:
            yield Differing(name, f"has no end; write {_END.format(name=name)}")


def _written(name: str, tables: Mapping[str, str]) -> str:
    return f"{_MARK.format(name=name)}\n{tables[name]}\n\n{_END.format(name=name)}"
