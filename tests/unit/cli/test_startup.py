"""What a command imports: people wait for it each time they type it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {
    "torch",
    "model",
    "pynetdicom",
    "sqlalchemy",
    "alembic",
    "pydicom",
    "highdicom",
    "numpy",
    "apscheduler",
    "structlog",
    "rich",
}
PROGRAM = """
import atexit, sys
def tell():
    found = sorted({name.split(".")[0] for name in sys.modules})
    print("modules:", *found, file=sys.stderr)
atexit.register(tell)
from dicomnode.__main__ import main
sys.argv = ["dicomnode", *sys.argv[1:]]
main()
"""


def imported(folder: Path, *words: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert "Traceback" not in run.stderr
    (line,) = [one for one in run.stderr.splitlines() if one.startswith("modules:")]
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "words",
    [["--help"], ["status", "--help"], ["config", "show"], ["config", "example"]],
    ids=" ".join,
)
def test_help_and_config_import_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    assert imported(tmp_path, *words) & HEAVY == set()


@pytest.mark.parametrize("words", [["status"], ["tail"], ["list"]], ids=" ".join)
def test_reading_the_embedded_worklist_imports_nothing_heavy(
    tmp_path: Path, words: list[str]
) -> None:
    assert "sqlalchemy" in imported(tmp_path, "init")
    assert imported(tmp_path, *words) & HEAVY == set()


def test_the_help_does_not_read_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("broken = ")
    assert "tomllib" not in imported(tmp_path, "--help")
