"""Restart, backup and restore of a worklist that has long been in use.

usage: python -m tests.faults.drill [--instances N]

A node is started, empty and with so many instances in its worklist, until a C-ECHO is
answered; its database is backed up while it receives, lost, restored, and checked to be
the same. Prints the seconds of each, and ends with 1 when a start takes longer than the
goals of docs/faults.md allow or something differs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from tests.bench.worklist.filling import Size, fill
from tests.integration.rig import Node

EMPTY_SECONDS, FULL_SECONDS = 2.0, 3.0
_IN_A_STUDY = 10
_TABLES = ("studies", "revisions", "series", "instances", "jobs", "deliveries")


def drill(folder: Path, n_instances: int) -> dict[str, float]:
    """Seconds of each act, by its name; AssertionError when something was lost."""
    found = {"start_empty": _started(Node(folder / "empty", pacs_port=1))}
    node = Node(folder / "full", pacs_port=1)
    shutil.rmtree(node.folder / "var")
    (node.folder / "var").mkdir()
    fill(node.url, Size(max(1, n_instances // _IN_A_STUDY), n_instances))
    before = _counts(node)
    assert before["instances"] >= n_instances
    found["start_full"] = _started(node)
    backup = folder / "backup.db"
    with node.running():
        found["backup_while_running"] = _timed(lambda: _done(node, "backup", backup))
    for path in (node.folder / "var").glob("worklist.db*"):
        path.unlink()
    found["restore"] = _timed(lambda: _done(node, "restore", backup, "--yes"))
    assert _counts(node) == before, (_counts(node), before)
    found["start_restored"] = _started(node)
    return found


def _started(node: Node) -> float:
    """Seconds until a C-ECHO is answered, and what to ask takes; the better of two."""
    return min(_start(node) for _ in range(2))


def _start(node: Node) -> float:
    began = perf_counter()
    with node.running():
        return perf_counter() - began


def _timed(act: Callable[[], object]) -> float:
    began = perf_counter()
    act()
    return perf_counter() - began


def _done(node: Node, verb: str, *words: object) -> None:
    ran = node.cli("db", verb, *map(str, words))
    assert ran.returncode == 0, ran.stderr


def _counts(node: Node) -> dict[str, int]:
    path = node.folder / "var" / "worklist.db"
    with closing(sqlite3.connect(path)) as database:
        return {
            one: database.execute(f"SELECT count(*) FROM {one}").fetchone()[0]
            for one in _TABLES
        }


def main() -> int:
    """Drill, and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.drill")
    parser.add_argument("--instances", type=int, default=2000)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        seconds = drill(Path(folder), given.instances)
    rounded = {f"{name}_seconds": round(value, 3) for name, value in seconds.items()}
    print(json.dumps({"instances": given.instances, **rounded}))
    limits = {"start_empty": EMPTY_SECONDS, "start_full": FULL_SECONDS}
    late = [name for name, limit in limits.items() if seconds[name] > limit]
    for name in late:
        print(f"{name}: {seconds[name]:.2f} s instead of {limits[name]:g} at most")
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main())
