"""docs/faults.md names a test for each fault, and each of these tests is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \| .* \| (.*) \|$", re.MULTILINE)
ROWS = dict(ROW.findall((ROOT / "docs" / "faults.md").read_text("utf-8")))


def test_every_fault_has_its_row():
    assert [int(number) for number in ROWS] == list(range(1, 61))


def test_every_row_names_a_test_or_says_why_not():
    assert [number for number, shown in ROWS.items() if not shown.strip()] == []


def test_every_test_that_is_named_is_there():
    named = re.findall(r"`(tests/\S+\.py)::(\w+)`", " ".join(ROWS.values()))
    missing = [(file, name) for file, name in named if name not in functions(file)]
    assert missing == []


def functions(file: str) -> set[str]:
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_numbered_test_is_named_in_its_row():
    lost = []
    for path in sorted((ROOT / "tests" / "faults").glob("test_*.py")):
        file = str(path.relative_to(ROOT))
        for name in sorted(functions(file)):
            number = re.match(r"test_(\d\d)_", name)
            if number and file not in ROWS[str(int(number[1]))]:
                lost.append(f"{file}::{name}")
    assert lost == []
