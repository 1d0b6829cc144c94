"""What is public is documented: commands, keys, views, make targets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[str]:
    shown = subprocess.run(
        [sys.executable, "-m", "dicomnode", "--help"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PATH": "", "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"},
    ).stdout
    section = shown.split("Commands")[1]
    return re.findall(r"^[│ ]*([a-z][a-z-]+)\s{2,}\S", section, re.MULTILINE)


def test_every_command_is_in_the_readme():
    found = commands()
    assert {"run", "receive", "work", "keep", "deliver", "demo", "tail"} <= set(found)
    assert [name for name in found if f"`dicomnode {name}" not in README] == []


def test_the_two_commands_of_the_readme_are_make_targets():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in ("demo", "test", "check", "bench"):
        assert f"make {target}" in README
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_research_use_only_is_said_up_front():
    assert "research use only" in README[:1500].lower()


def test_state_diagrams_of_the_docs_are_printed_from_the_tables():
    from dicomnode.domain.backfill import BACKFILL_STATES
    from dicomnode.domain.delivery import DELIVERY_STATES
    from dicomnode.domain.job import JOB_STATES
    from dicomnode.domain.study import STUDY_STATES

    text = (ROOT / "docs" / "states.md").read_text("utf-8")
    for machine in (STUDY_STATES, JOB_STATES, DELIVERY_STATES, BACKFILL_STATES):
        assert machine.mermaid() in text, f"run `make docs`: {machine.name} changed"


def test_every_link_of_the_documents_leads_somewhere():
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def groups() -> dict[str, set[str]]:
    """Command with commands of its own -> their names."""
    from typer.main import get_command

    from dicomnode.cli.app import app

    found = get_command(app).commands  # type: ignore[attr-defined]
    return {
        name: set(one.commands)
        for name, one in found.items()
        if getattr(one, "commands", None)
    }


def test_every_command_of_a_group_is_in_the_readme():
    found = groups()
    assert {"config", "db", "model"} <= set(found)
    rows = [line for line in README.splitlines() if line.startswith("| `dicomnode")]
    for name, commands_ in found.items():
        text = "\n".join(row for row in rows if f"`dicomnode {name} " in row)
        missing = [one for one in commands_ if not re.search(rf"\b{one}\b", text)]
        assert missing == [], f"dicomnode {name}"


def test_every_make_target_is_explained_by_make_help():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert phony
    targets = set(phony[1].replace("\\\n", " ").split())
    shown = set(re.findall(r'@echo "make ([a-z-]+) ', makefile))
    inner = {"help", "install", "peers", "clean"}
    assert targets - inner == shown


def test_every_document_is_linked():
    text = README + (ROOT / "docs" / "operations.md").read_text("utf-8")
    pages = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert [name for name in pages if f"{name}" not in text] == []


def test_pictures_of_the_documents_are_small():
    for path in (ROOT / "docs" / "pictures").iterdir():
        assert path.stat().st_size <= 300_000, path.name
