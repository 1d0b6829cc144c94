"""config.toml is the manual: it loads, it names every key, and what it says is so."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from dicomnode import config
from dicomnode.config import (
    Account,
    Config,
    Destination,
    Peer,
    Pipeline,
    RetentionRule,
)

NOWHERE = {"CREDENTIALS_DIRECTORY": "/nonexistent"}
ARRAYS: dict[str, type[BaseModel]] = {
    "peer": Peer,
    "pipeline": Pipeline,
    "destination": Destination,
}
# No account may ship, and no rule is a default: their tables are shown as comments.
COMMENTED = {"account": Account, "retention.rule": RetentionRule}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def manual(tmp_path: Path) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(config.example_text(), encoding="utf-8")
    return config.load(path, environ=NOWHERE)


def keys_of(model: BaseModel, prefix: str = "") -> Iterator[str]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from keys_of(value, f"{prefix}{name}.")
        elif prefix + name not in ARRAYS | COMMENTED:
            yield prefix + name


def written(tree: dict[str, object], prefix: str = "") -> Iterator[str]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from written(value, f"{prefix}{name}.")
        elif name not in ARRAYS:
            yield prefix + name


def test_it_is_the_file_at_the_root() -> None:
    assert config.example_text() == (ROOT / "config.toml").read_text(encoding="utf-8")


def test_it_equals_the_defaults(
    manual: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    without = set(ARRAYS)
    empty = tmp_path / "empty.toml"
    empty.write_text("")
    defaults = config.load(empty, environ=NOWHERE)
    assert manual.model_dump(exclude=without) == defaults.model_dump(exclude=without)


def test_it_has_every_key_and_no_other(manual: Config) -> None:
    tree = tomllib.loads(config.example_text())
    assert set(written(tree)) == set(keys_of(manual))
    for name, model in ARRAYS.items():
        (table,) = tree[name]
        assert set(table) == set(model.model_fields)


def test_commented_tables_have_every_key_too() -> None:
    for name, model in COMMENTED.items():
        _, _, block = config.example_text().partition(f"# [[{name}]]\n")
        block = block.partition("\n\n")[0]
        keys = "\n".join(re.findall(r"^# (\w+ = .*)$", block, flags=re.MULTILINE))
        assert set(tomllib.loads(keys)) == set(model.model_fields)


def test_examples_of_arrays_show_the_defaults_of_optional_keys(manual: Config) -> None:
    given = {("pipeline", "destinations")}
    given |= {("destination", key) for key in ("ae_title", "host", "port")}
    for name in ARRAYS:
        (table,) = getattr(manual, name)
        for key, field in type(table).model_fields.items():
            if not field.is_required() and (name, key) not in given:
                assert getattr(table, key) == field.default, f"{name}.{key}"


def test_each_key_is_explained(manual: Config) -> None:
    lines = config.example_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[a-z_]+ = ", line):
            above = lines[number - 1]
            explained = above.startswith("#") or re.match(r"[a-z_]+ = ", above)
            assert explained, f"line {number + 1}: {line}"


def test_each_stated_default_is_the_default(manual: Config) -> None:
    """The comment above a key says ``Default X``; X is what stands below it."""
    blocks = re.findall(
        r"((?:^#.*\n)+)((?:^[a-z_]+ = .*\n)+)", config.example_text(), re.MULTILINE
    )
    checked = 0
    for comment, keys in blocks:
        words = " ".join(line.lstrip("# ") for line in comment.splitlines())
        stated = re.findall(r"Defaults? (.+?)\.(?=\s|$)", words)
        values = [line.split(" = ", 1)[1] for line in keys.splitlines()]
        for text in stated:
            allowed = " and ".join(dict.fromkeys(values))
            assert text == allowed
            checked += 1
    assert checked >= 35


def test_it_holds_the_configuration_of_the_design(manual: Config) -> None:
    (pipeline,) = manual.pipeline
    assert pipeline.name == "cxr-qc"
    assert pipeline.match == {"Modality": ("CR", "DX")}
    assert pipeline.destinations == ("PACS",)
    (destination,) = manual.destination
    assert (destination.ae_title, destination.port) == ("ORTHANC", 4242)
    assert manual.peer[0].hosts == ("127.0.0.1",)


def test_no_secret_is_in_it() -> None:
    assert not re.search(r"://[^/\s:]+:[^/\s]+@", config.example_text())
