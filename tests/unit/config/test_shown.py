"""The configuration in force, printed: complete, reusable, without passwords."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from dicomnode import config
from dicomnode.config.shown import masked

NOWHERE = {"CREDENTIALS_DIRECTORY": "/nonexistent"}


def test_what_is_shown_can_be_loaded_again(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        config.example_text().replace(
            'match = { Modality = ["CR", "DX"] }',
            'match = { Modality = ["CR"], Rows = { min = 1, not = [7] } }',
        )
        + "[[retention.rule]]\nmatch = { Rows = { max = 9 } }\nkeep_days = 3\n"
        + "[[retention.rule]]\nmatch = {}\nkeep_days = 0.5\n"
    )
    found = config.load(path, {"study.expected_n_series": 3}, NOWHERE)
    text = ""
    for _, table in groupby(config.shown(found), lambda one: one.table):
        keys = list(table)
        text += f"{keys[0].header}\n"
        text += "".join(f"{one.key} = {one.value}\n" for one in keys)
    path.write_text(text)
    again = config.load(path, environ=NOWHERE)
    assert again.model_dump() == found.model_dump()


def test_origins_are_shown_beside_values(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[receiver]\nport = 1")
    shown = {
        f"{one.table}.{one.key}": one.origin
        for one in config.shown(config.load(path, environ=NOWHERE))
    }
    assert shown["receiver.port"] == f"{path}:2"
    assert shown["receiver.host"] == "default"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql+psycopg://u:ge@hei:m@h/d", "postgresql+psycopg://u:***@h/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d?user=u&password=geheim&x=1",
         "postgresql://h/d?user=u&password=***&x=1"),
        ("sqlite:////var/worklist.db", "sqlite:////var/worklist.db"),
        ("", ""),
    ],
)  # fmt: skip
def test_passwords_are_masked(url: str, expected: str) -> None:
    assert masked(url) == expected


def test_no_way_of_printing_tells_the_password() -> None:
    environ = NOWHERE | {"DICOMNODE_DATABASE__URL": "postgresql://u:geheim@h/d"}
    found = config.load(environ=environ)
    assert "geheim" in found.worklist_url
    assert "geheim" not in repr(found) + str(found) + found.model_dump_json()
    assert all("geheim" not in one.value for one in config.shown(found))


def test_a_secret_that_is_no_url_is_hidden_as_a_whole(tmp_path: Path) -> None:
    path, hashed = tmp_path / "config.toml", f"scrypt:{'A' * 22}==:{'A' * 43}="
    path.write_text(f'[[account]]\nname = "ann"\nsecret = "{hashed}"\n')
    environ = {"DICOMNODE_WEB__SECRET": "planted"}
    found = {
        (one.table, one.key): one.value
        for one in config.shown(config.load(path, environ=environ))
    }
    assert found["web", "secret"] == found["account[1]", "secret"] == '"***"'
    assert found["database", "url"] == '""'
