"""What the program is made of: locked with hashes, listed, and nothing in secret."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.txt", "requirements-dev.txt")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def loaded(name: str) -> ModuleType:
    """A program of deploy/, which is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "deploy" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    return loaded("sbom")


def normal(name: str) -> str:
    """A name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    found = (re.match(r"[A-Za-z0-9._-]+", one) for one in requirements)
    return {normal(one[0]) for one in found if one}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_requirement_is_pinned_with_hashes(sbom, lock: str) -> None:
    parts = list(sbom.locked((ROOT / lock).read_text("utf-8")))
    assert len(parts) > 50
    for one in parts:
        assert one.hashes, one.name
        assert one.wanted_by, f"{one.name}: nobody wants it"


def test_a_line_without_hash_is_noticed(sbom) -> None:
    with pytest.raises(ValueError, match="make lock"):
        list(sbom.locked("evil==1.0\n"))
    with pytest.raises(ValueError, match="make lock"):
        list(sbom.locked("evil>=1.0 --hash=sha256:" + "0" * 64))


def test_everything_that_is_asked_for_is_locked(sbom) -> None:
    extras = PROJECT["optional-dependencies"]
    for lock, asked in (
        ("requirements.txt", [*PROJECT["dependencies"], *extras["postgres"]]),
        ("requirements.txt", extras["s3"]),
        ("requirements-dev.txt", [*PROJECT["dependencies"], *extras["dev"]]),
    ):
        parts = sbom.locked((ROOT / lock).read_text("utf-8"))
        assert names(asked) <= {normal(one.name) for one in parts}, f"{lock}: make lock"


def test_the_makefile_installs_with_hashes_only() -> None:
    text = (ROOT / "Makefile").read_text("utf-8")
    installs = [line for line in text.splitlines() if "$(PIP) install" in line]
    assert installs
    for line in installs:
        assert "--require-hashes" in line or "--no-deps" in line, line


def test_the_bill_of_materials_lists_each_part_and_is_always_the_same(sbom) -> None:
    first, second = (sbom.bill(ROOT / "requirements.txt") for _ in range(2))
    assert first == second
    table = json.loads(first)
    assert (table["bomFormat"], table["specVersion"]) == ("CycloneDX", "1.6")
    assert table["metadata"]["component"]["name"] == "dicomnode"
    parts = list(sbom.locked((ROOT / "requirements.txt").read_text("utf-8")))
    components = {one["bom-ref"]: one for one in table["components"]}
    assert len(components) == len(parts)
    for one in parts:
        component = components[f"pkg:pypi/{one.name}@{one.version}"]
        assert {h["content"] for h in component["hashes"]} == set(one.hashes)
    graph = {one["ref"]: one.get("dependsOn", []) for one in table["dependencies"]}
    direct = {ref.split("/")[1].split("@")[0] for ref in graph[_root(table)]}
    assert names(PROJECT["dependencies"]) <= {normal(name) for name in direct}


def _root(table) -> str:
    return table["metadata"]["component"]["bom-ref"]


def answer(*vulnerabilities: dict) -> str:
    one = {"name": "torch", "version": "2.0", "vulns": list(vulnerabilities)}
    return json.dumps({"dependencies": [one], "fixes": []})


BAD = {"id": "PYSEC-1", "fix_versions": ["2.1"], "aliases": [], "description": ""}


@pytest.mark.parametrize(
    ("ended", "code", "said"),
    [
        ((0, answer(), ""), 0, "no known vulnerability in 1"),
        ((1, answer(BAD), "Found 1"), 1, "torch 2.0: PYSEC-1, fixed in 2.1"),
        ((1, "", "ERROR: Could not connect to the feed"), 0, "not checked: offline"),
        ((1, "", "ERROR: requirement file is broken"), 1, "not checked: ERROR"),
        ((2, "", ""), 2, "not checked"),
    ],
)
def test_no_network_is_no_vulnerability_and_no_answer_is_no_pass(
    ended, code: int, said: str
) -> None:
    given, text = loaded("vulnerabilities").verdict(*ended)
    assert given == code
    assert said in text
