"""Completion in the shell: it knows every command, and comes at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cli.test_startup import HEAVY, PROGRAM, ROOT

COMMANDS = {"acceptance", "config", "conformance", "db", "demo", "run", "tail"}
ASKED = {
    "bash": {"COMP_WORDS": "dicomnode ", "COMP_CWORD": "1"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "dicomnode "},
    "fish": {
        "_TYPER_COMPLETE_ARGS": "dicomnode ",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


def completed(shell: str, asked: dict[str, str], folder: Path) -> tuple[str, set[str]]:
    """What is offered, and the modules that it took."""
    environ = os.environ | {"PYTHONPATH": str(ROOT), **asked}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environ | {"_DICOMNODE_COMPLETE": f"complete_{shell}"},
    )
    (line,) = [one for one in run.stderr.splitlines() if one.startswith("modules:")]
    return run.stdout, set(line.split()[1:])


@pytest.mark.parametrize("shell", ASKED)
def test_every_shell_is_offered_the_commands(shell: str, tmp_path: Path) -> None:
    offered, modules = completed(shell, ASKED[shell], tmp_path)
    assert [name for name in COMMANDS if name not in offered] == []
    # Where the help stands beside a name, typer itself formats it with rich.
    assert modules & HEAVY <= {"rich"}


def test_a_group_offers_its_own(tmp_path: Path) -> None:
    asked = {"COMP_WORDS": "dicomnode db ", "COMP_CWORD": "2"}
    offered, modules = completed("bash", asked, tmp_path)
    assert {"backup", "restore", "copy", "check"} <= set(offered.split())
    assert modules & HEAVY == set()


def test_options_are_offered_too(tmp_path: Path) -> None:
    asked = {"COMP_WORDS": "dicomnode tail --s", "COMP_CWORD": "2"}
    offered, modules = completed("bash", asked, tmp_path)
    assert {"--since", "--state", "--set"} <= set(offered.split())
    assert modules & HEAVY == set()


def test_the_script_that_is_printed_works_in_bash(tmp_path: Path) -> None:
    program = tmp_path / "dicomnode"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m dicomnode "$@"\n')
    program.chmod(0o755)
    lines = """
        eval "$(dicomnode --show-completion bash)"
        COMP_WORDS=(dicomnode conf) COMP_CWORD=1
        _dicomnode_completion dicomnode
        echo "${COMPREPLY[@]}"
    """
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    bash = shutil.which("bash")
    assert bash is not None
    run = subprocess.run(
        [bash, "-c", lines],
        capture_output=True,
        text=True,
        env=os.environ
        | {"PATH": path, "PYTHONPATH": str(ROOT), "SHELL": bash,
           "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
    )  # fmt: skip
    assert set(run.stdout.split()) == {"config", "conformance"}, run.stderr
