"""Secrets come from the environment or a credentials directory, and are never shown."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "hunter2-planted"
URL = f"postgresql+psycopg://node:{SECRET}@127.0.0.1:1/worklist"
COMMANDS = (
    ("config", "show"),
    ("config", "show", "--json"),
    ("config", "check"),
    ("status",),
    ("db", "check"),
    ("receive",),
)


@pytest.mark.parametrize("source", ["environment", "credential"])
def test_a_planted_password_is_in_no_output(tmp_path: Path, source: str) -> None:
    (tmp_path / "config.toml").write_text('[node]\ndata_dir = "var"\n')
    environ = {**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    (tmp_path / "credentials").mkdir()
    if source == "environment":
        environ["DICOMNODE_DATABASE__URL"] = URL
    else:
        (tmp_path / "credentials" / "database__url").write_text(URL)
    for words in COMMANDS:
        argv = [sys.executable, "-m", "dicomnode", *words]
        argv += ["--config", str(tmp_path / "config.toml")]
        ended = subprocess.run(argv, capture_output=True, text=True, env=environ)
        said = ended.stdout + ended.stderr
        assert said, words
        assert SECRET not in said, words
        if words == ("config", "show", "--json"):
            shown = [json.loads(line) for line in ended.stdout.splitlines()]
            (url,) = (one["value"] for one in shown if one["key"] == "database.url")
            assert "node:***@127.0.0.1" in url
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.parent.name != "credentials":
            assert SECRET.encode() not in path.read_bytes(), path
