"""Which indexes SQLite uses for what runs all day: EXPLAIN QUERY PLAN.

The statements are taken from the driver while an operation runs, with their values, so
what is explained is what was sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, event

_EXPLAINED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")
_SHOWN = 76


@dataclass(frozen=True, slots=True)
class Plan:
    """A statement and the steps in which SQLite runs it, each with its depth."""

    statement: str
    steps: tuple[str, ...]

    @property
    def scans(self) -> bool:
        """Whether it reads a table, or an index of it, from end to end."""
        return any(step.lstrip().startswith("SCAN ") for step in self.steps)


@contextmanager
def traced() -> Iterator[list[str]]:
    """The statements of all connections that are opened meanwhile."""
    found: list[str] = []

    def connected(connection: sqlite3.Connection, _: object) -> None:
        connection.set_trace_callback(found.append)

    event.listen(Engine, "connect", connected)
    try:
        yield found
    finally:
        event.remove(Engine, "connect", connected)


def plans(database: Path, statements: Sequence[str]) -> list[Plan]:
    """Of each distinct statement, in the order of their first use."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as reader:
        shapes = {" ".join(one.split()): None for one in statements}
        return [
            Plan(one, tuple(_steps(reader, one)))
            for one in shapes
            if one.upper().startswith(_EXPLAINED)
        ]


def _steps(reader: sqlite3.Connection, statement: str) -> Iterator[str]:
    depth = {0: 0}
    for number, parent, _, detail in reader.execute(f"EXPLAIN QUERY PLAN {statement}"):
        depth[number] = depth.get(parent, 0) + 1
        yield "  " * (depth[number] - 1) + detail


def told(
    name: str, operation: Callable[[], object], found: list[str], database: Path
) -> str:
    """The plans of one operation as text; ``found`` is where its statements arrive."""
    found.clear()
    operation()
    lines = [name]
    for plan in plans(database, list(found)):
        mark = "!" if plan.scans else " "
        lines.append(f"{mark} {plan.statement[:_SHOWN]}")
        lines += [f"      {step}" for step in plan.steps]
    return "\n".join(lines)
