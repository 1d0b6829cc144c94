"""What of the configuration has changed since the last start, secrets among it."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from dicomnode.audit import codes
from dicomnode.config import load
from dicomnode.processes.changes import since_last_start

Changed = Callable[..., dict[str, tuple[str, ...]]]
BEFORE = "postgresql+psycopg://node:hunter2@db/worklist"
AFTER = "postgresql+psycopg://node:correct-horse@db/worklist"


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """Start with this configuration: changed keys by kind of change."""

    def start(text: str = "", url: str = BEFORE) -> dict[str, tuple[str, ...]]:
        file = tmp_path / "config.toml"
        file.write_text(text)
        config = load(file, environ={"DICOMNODE_DATABASE__URL": url})
        found = since_last_start(config, tmp_path / "audit")
        return {kind.value: keys for kind, keys in found}

    return start


def test_the_first_start_tells_nothing_and_the_same_again_neither(
    changed: Changed,
) -> None:
    assert changed() == {}
    assert changed() == {}


def test_each_kind_of_change_names_its_keys(changed: Changed) -> None:
    changed()
    found = changed('[node]\nae_title = "OTHER"\n[study]\nquiet_seconds = 5\n')
    assert found == {
        codes.NETWORK_CONFIGURATION.value: ("node.ae_title",),
        codes.SOFTWARE_CONFIGURATION.value: ("study.quiet_seconds",),
    }


def test_a_changed_secret_is_told_by_its_key_alone(changed: Changed) -> None:
    changed()
    security = codes.SECURITY_CONFIGURATION.value
    assert changed(url=AFTER) == {security: ("database.url",)}
    assert changed(url=AFTER) == {}
    account = '[[account]]\nname = "ann"\nsecret = "{}"\n'
    changed(account.format(hashed("A")), AFTER)
    found = changed(account.format(hashed("B")), AFTER)
    assert found == {security: ("account[1].secret",)}


def hashed(letter: str) -> str:
    """As `dicomnode account` prints it."""
    return f"scrypt:{'A' * 22}==:{letter * 42}A="


def test_what_is_kept_of_a_secret_cannot_be_tried_without_the_key(
    changed: Changed, tmp_path: Path
) -> None:
    changed()
    kept = (tmp_path / "audit" / "config.json").read_text()
    assert "hunter2" not in kept
    guesses = (hashlib.sha256(one.encode()).hexdigest()[:16] for one in (BEFORE, ""))
    assert not set(guesses) & set(json.loads(kept).values())
    key = tmp_path / "var" / "config.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert key.read_bytes().hex() not in kept


def test_another_key_makes_another_first_start(
    changed: Changed, tmp_path: Path
) -> None:
    changed()
    (tmp_path / "var" / "config.key").unlink()
    assert changed(url=AFTER) == {}
    assert changed() != {}


def test_digests_of_an_earlier_version_are_no_change(
    changed: Changed, tmp_path: Path
) -> None:
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "config.json").write_text('{"node.ae_title": "0123456789ab"}')
    assert changed() == {}
    assert changed(url=AFTER) != {}
