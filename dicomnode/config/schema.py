"""config.toml as a JSON Schema: for editors that check and complete while one types."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dicomnode.config.loading import example_text
from dicomnode.config.models import Config

_HEADER = re.compile(r"\[+([a-z_.]+)\]+$")
_KEY = re.compile(r"([a-z_]+) = ")

Node = dict[str, Any]


def schema() -> Node:
    """JSON Schema, draft 2020-12, with the words of the manual as descriptions.

    It knows types, limits and allowed values of single keys; what keys mean to each
    other, whether names fit and files are there only `config check` knows.
    """
    made = Config.model_json_schema()
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "dicomnode config.toml"
    tables = dict(_tables(made, made["$defs"]))
    for keys in tables.values():
        for node in keys.values():
            _without_null(node)
    for table, key, words in _explained(example_text()):
        if key in tables[table]:
            tables[table][key]["description"] = words
    return made


def _without_null(node: Node) -> None:
    """TOML has none: what may be absent is written as 0 or as an empty text."""
    if {"type": "null"} not in node.get("anyOf", ()):
        return
    (kind,) = (one for one in node.pop("anyOf") if one != {"type": "null"})
    if kind["type"] in {"integer", "number"}:
        kind.pop("exclusiveMinimum", None)
        kind["minimum"] = 0
    node.update(kind, default=0 if "minimum" in kind else "")


def _tables(
    table: Node, definitions: Mapping[str, Node], path: str = ""
) -> Iterator[tuple[str, Node]]:
    """The keys of each table, by its header."""
    yield path, table["properties"]
    for name, node in table["properties"].items():
        reference = node.get("$ref") or node.get("items", {}).get("$ref")
        if reference:
            below = definitions[reference.rpartition("/")[2]]
            yield from _tables(below, definitions, f"{path}.{name}".lstrip("."))


def _explained(text: str) -> Iterator[tuple[str, str, str]]:
    """Table, key, and the comment above it; keys below one comment share it."""
    table, is_whole = "", True
    comment: list[str] = []
    for line in text.splitlines():
        if header := _HEADER.match(line):
            table, comment = header[1], []
        elif line.startswith("# "):
            comment = [line[2:]] if is_whole else [*comment, line[2:]]
        elif key := _KEY.match(line):
            yield table, key[1], " ".join(comment)
        is_whole = not line.startswith("#")
