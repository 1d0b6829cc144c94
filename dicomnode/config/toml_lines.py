"""Where each key of a TOML text stands: the parser itself knows no lines."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping

Path = tuple[str | int, ...]
"""The way to a value: keys of tables and indices of arrays."""


def lines_of(text: str) -> dict[Path, int]:
    """The line (from 1) of every key of a valid TOML ``text``.

    Each statement is parsed alone, so that strings and arrays over several lines,
    quoted and dotted keys are read as TOML reads them. A value inside an inline table
    or an array stands on the line where its statement begins.
    """
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for line, statement in _statements(text):
        tree = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(tree, counts)
            found.setdefault(table, line)
        else:
            for path in _paths(tree):
                found.setdefault(table + path, line)
    return found


def _statements(text: str) -> Iterator[tuple[int, str]]:
    start, pending = 1, ""
    for number, line in enumerate(text.split("\n"), start=1):
        if not pending:
            start = number
        pending += line + "\n"
        if _is_whole(pending):
            if tomllib.loads(pending):
                yield start, pending
            pending = ""


def _is_whole(statement: str) -> bool:
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _header(tree: Mapping[str, object], counts: dict[Path, int]) -> Path:
    """The path of ``[a.b]`` or ``[[a.b]]``; ``counts`` are elements seen so far."""
    path: Path = ()
    node: object = tree
    while isinstance(node, Mapping) and node:
        ((key, node),) = node.items()
        path += (key,)
        if isinstance(node, list):
            counts[path] = counts.get(path, 0) + 1
            node = node[0]
        if path in counts:
            path += (counts[path] - 1,)
    return path


def _paths(tree: object, prefix: Path = ()) -> Iterator[Path]:
    if prefix:
        yield prefix
    for key, child in _children(tree):
        yield from _paths(child, (*prefix, key))


def _children(tree: object) -> Iterable[tuple[str | int, object]]:
    if isinstance(tree, Mapping):
        return tree.items()
    return enumerate(tree) if isinstance(tree, list) else ()
