"""The page for hospital IT, and each key that a document names, against the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from dicomnode.config import Account, Config, Destination, Peer, Pipeline

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "it-checklist.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ARRAYS: dict[str, type[BaseModel]] = {
    "peer": Peer,
    "pipeline": Pipeline,
    "destination": Destination,
    "account": Account,
}
FILES = {
    "md",
    "py",
    "toml",
    "json",
    "log",
    "db",
    "html",
    "yml",
    "conf",
    "onnx",
    "crt",
    "key",
    "csr",
    "pem",
}


def keys(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from keys(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


DEFAULTS = dict(keys(Config()))
KNOWN = {
    *DEFAULTS,
    *(f"{name}.{key}" for name, model in ARRAYS.items() for key in model.model_fields),
}
# Events of the log are written in the same way.
SOURCE = "".join(one.read_text("utf-8") for one in (ROOT / "dicomnode").rglob("*.py"))
EVENTS = set(re.findall(r'"([a-z]+\.[a-z_]+)"', SOURCE))
TABLES = {key.rpartition(".")[0] for key in KNOWN}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_key_that_a_document_names_is_one(path: Path) -> None:
    named = re.findall(r"`([a-z]+(?:\.[a-z]+)?)\.([a-z_]+)`", path.read_text("utf-8"))
    wrong = [
        f"{table}.{key}"
        for table, key in named
        if table in TABLES
        and key not in FILES
        and f"{table}.{key}" not in KNOWN | EVENTS | TABLES
    ]
    assert wrong == []


def test_the_page_answers_fourteen_questions() -> None:
    numbers = re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 15)]
    assert "Research use only" in PAGE[:200]


def test_its_ports_are_the_defaults() -> None:
    rows = re.findall(r"\| (\d+)/tcp[^|]*\|[^|]*\|[^|]*\| `([a-z.]+)`", PAGE)
    ports = {key: int(port) for port, key in rows if key in DEFAULTS}
    wanted = {key: value for key, value in DEFAULTS.items() if key.endswith(".port")}
    assert {key: ports.get(key) for key in wanted} == wanted


def test_every_port_of_the_configuration_has_its_row() -> None:
    ports = {key for key in KNOWN if key.rpartition(".")[2] == "port"}
    assert [key for key in sorted(ports) if f"| `{key}` |" not in PAGE] == []


def test_a_default_in_brackets_is_the_default() -> None:
    said = re.findall(r"`([a-z.]+\.[a-z_]+)` \(([^)]+)\)", PAGE)
    found = {key: value for key, value in said if key in DEFAULTS}
    assert len(found) >= 4
    for key, value in found.items():
        plain = value.removeprefix("default ").strip("`")
        assert plain == json.dumps(DEFAULTS[key]).strip('"').removesuffix(".0"), key


def test_commands_of_the_page_are_commands() -> None:
    from typer.main import get_command

    from dicomnode.cli.app import app

    known = get_command(app).commands  # type: ignore[attr-defined]
    for name in re.findall(r"dicomnode ([a-z-]+)", PAGE):
        assert name in known, name


def test_every_case_of_the_acceptance_kit_is_documented() -> None:
    from dicomnode.acceptance.delivering import TIDYING
    from dicomnode.acceptance.main import CASES

    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", text, re.MULTILINE)
    for case in (*CASES, TIDYING):
        assert (case.name, case.title) in rows
