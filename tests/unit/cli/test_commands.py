"""Every command: its help, its options, its errors and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import typer.main
from click.testing import Result
from typer.testing import CliRunner

from dicomnode import config
from dicomnode.cli.app import app
from dicomnode.cli.command import ended

COMMANDS = [
    ["run"],
    ["receive"],
    ["work"],
    ["keep"],
    ["deliver"],
    ["init"],
    ["config", "check"],
    ["config", "show"],
    ["config", "example"],
    ["config", "schema"],
    ["reload"],
    ["db", "upgrade"],
    ["db", "check"],
    ["db", "downgrade"],
    ["db", "backup"],
    ["db", "restore"],
    ["db", "copy"],
    ["status"],
    ["top"],
    ["alert", "test"],
    ["alert", "list"],
    ["acceptance"],
    ["conformance"],
    ["reload"],
    ["tail"],
    ["list"],
    ["show"],
    ["retry"],
    ["cancel"],
    ["hold"],
    ["release"],
    ["resend"],
    ["purge"],
    ["pause"],
    ["resume"],
    ["drain"],
    ["reconcile"],
    ["echo"],
    ["send"],
    ["demo"],
    ["backfill", "status"],
    ["backfill", "stop"],
    ["backfill", "pause"],
    ["backfill", "go-on"],
    ["account"],
    ["doctor"],
    ["support-bundle"],
    ["web"],
    ["model", "list"],
    ["model", "show"],
    ["model", "verify"],
    ["model", "try"],
    ["model", "install"],
    ["model", "promote"],
    ["model", "rollback"],
    ["model", "commission"],
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "none"))
    for name in [name for name in os.environ if name.startswith("DICOMNODE_")]:
        monkeypatch.delenv(name)
    return tmp_path


def invoke(*words: str, environ: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, list(words), env=environ)


def leaves(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    below = getattr(group, "commands", None)
    if below is None:
        yield path
        return
    for name, command in below.items():
        yield from leaves(command, (*path, name))


def test_these_are_all_commands() -> None:
    found = set(leaves(typer.main.get_command(app)))
    assert found == {tuple(words) for words in COMMANDS}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_explains_itself_and_takes_config(words: list[str]) -> None:
    result = invoke(*words, "--help")
    assert result.exit_code == 0
    assert "--config FILE" in result.stdout
    assert "--set KEY=VALUE" in result.stdout
    first = result.stdout.split("\n\n")[1].strip()
    assert first.endswith((".", "not.", "`ok` and the file."))


def test_no_command_shows_all_of_them() -> None:
    result = invoke()
    assert result.exit_code in {0, 2}
    for words in COMMANDS:
        assert words[0] in result.output


@pytest.mark.parametrize(
    "words",
    [
        ["lst"],
        ["status", "--jsn"],
        ["show"],
        ["retry"],
        ["retry", "JOB", "--all-failed"],
        ["cancel"],
        ["purge", "--study", "1.2"],
        ["send", "missing.dcm", "--to", "PACS"],
        ["tail", "--since", "3 fortnights"],
        ["tail", "--state", "fialed"],
        ["tail", "-n", "-1"],
        ["status", "--set", "receiver.port"],
        ["demo", "--pacs", "other"],
    ],
    ids=" ".join,
)
def test_usage_errors_end_with_2(words: list[str]) -> None:
    invoke("init")
    result = invoke(*words)
    assert result.exit_code == 2
    assert "Error" in result.stderr
    assert "Traceback" not in result.output


def test_a_misspelt_state_or_command_gets_a_suggestion() -> None:
    assert "did you mean FAILED?" in invoke("tail", "--state", "fialed").stderr
    assert "'status'" in invoke("statsu").stderr


@pytest.mark.parametrize("words", [*COMMANDS[:5], ["status"], ["tail"], ["list"]])
def test_configuration_errors_end_with_2(words: list[str], here: Path) -> None:
    (here / "config.toml").write_text("[node]\n\nae_titel = 'X'\n")
    result = invoke(*words)
    assert result.exit_code == 2
    assert result.stderr == (
        "dicomnode: config.toml:3: node.ae_titel is an unknown key; did you mean "
        "`ae_title`?\n"
    )


def test_config_may_stand_before_or_after_the_command(here: Path) -> None:
    for name in ("one", "two"):
        (here / f"{name}.toml").write_text(f"[node]\nae_title = '{name}'\n")
    before = invoke("--config", "one.toml", "config", "show")
    after = invoke("config", "show", "--config", "two.toml")
    both = invoke("--config", "one.toml", "config", "show", "--config", "two.toml")
    assert 'ae_title = "one"' in before.stdout
    assert 'ae_title = "two"' in after.stdout
    assert 'ae_title = "two"' in both.stdout


def test_set_may_stand_before_and_after_the_command() -> None:
    words = ["--set", "web.port=1", "--set", "receiver.port=2", "config", "show"]
    result = invoke(*words, "--set", "web.port=3", "--origin")
    assert "port = 3  # command line" in result.stdout
    assert "port = 2  # command line" in result.stdout


def test_config_check(here: Path) -> None:
    assert "there is no configuration file" in invoke("config", "check").stdout
    (here / "config.toml").write_text(config.example_text())
    result = invoke("config", "check")
    assert (result.exit_code, result.stdout) == (0, f"ok: {here}/config.toml\n")
    (here / "config.toml").write_text("[a]\nb=1\n[web]\nport='x'")
    result = invoke("config", "check")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2


def test_config_show_is_toml_and_says_where_values_come_from(here: Path) -> None:
    (here / "config.toml").write_text("[receiver]\nport = 1\n")
    environ = {"DICOMNODE_DATABASE__URL": "postgresql://u:geheim@h/d"}
    result = invoke("config", "show", "--origin", environ=environ)
    tree = tomllib.loads(result.stdout)
    assert tree["receiver"]["port"] == 1
    assert "port = 1  # config.toml:2" in result.stdout
    assert "# environment DICOMNODE_DATABASE__URL" in result.stdout
    assert "watermark_percent = 90.0  # default" in result.stdout
    assert "geheim" not in result.stdout


def test_config_show_as_json() -> None:
    lines = invoke("config", "show", "--json").stdout.splitlines()
    keys = {json.loads(line)["key"]: json.loads(line) for line in lines}
    assert keys["receiver.tls.port"]["value"] == "2762"
    assert keys["receiver.tls.port"]["origin"] == "default"


def test_config_example_prints_the_manual(here: Path) -> None:
    (here / "config.toml").write_text("broken = ")
    assert invoke("config", "example").stdout == config.example_text()


def test_init_makes_what_a_node_needs_and_overwrites_nothing(here: Path) -> None:
    result = invoke("init", "--config", "etc/node.toml")
    assert result.exit_code == 0
    file = here / "etc" / "node.toml"
    assert file.read_text() == config.example_text()
    assert (here / "etc" / "var" / "worklist.db").is_file()

    file.write_text("[node]\ndata_dir = 'other'\n")
    again = invoke("init", "--config", "etc/node.toml")
    assert again.exit_code == 0
    assert "kept" in again.stdout
    assert file.read_text() == "[node]\ndata_dir = 'other'\n"
    assert (here / "etc" / "other" / "worklist.db").is_file()

    assert invoke("init", "--config", "etc/node.toml", "--force").exit_code == 0
    assert file.read_text() == config.example_text()


def test_init_says_where_it_cannot_write(here: Path) -> None:
    (here / "file").write_text("")
    result = invoke("init", "--config", "file/config.toml")
    assert result.exit_code == 2
    assert "name another" in result.stderr or "choose" in result.stderr


def test_db_commands(here: Path) -> None:
    assert invoke("db", "check").exit_code == 3
    assert invoke("db", "upgrade").exit_code == 0
    assert (here / "var" / "worklist.db").is_file()
    result = invoke("db", "check")
    assert (result.exit_code, result.stdout) == (
        0,
        "ok: the worklist database is sound\n",
    )
    (here / "var" / "worklist.db").write_bytes(b"no database" * 1000)
    result = invoke("db", "check")
    assert result.exit_code == 3
    assert "restore a backup" in result.stderr


def test_without_a_database_the_remedy_is_init() -> None:
    status = invoke("status")
    assert status.exit_code == 3
    assert "`dicomnode init` creates it" in status.stdout
    record = json.loads(invoke("status", "--json").stdout)
    assert record["healthy"] is False
    assert "init" in record["problems"][0]["remedy"]
    for words in (["list"], ["tail"], ["show", "x"], ["retry", "x"]):
        result = invoke(*words)
        assert result.exit_code == 1
        assert "`dicomnode init` creates it" in result.stderr


def test_what_is_not_found_ends_with_4() -> None:
    invoke("init")
    for words in (["show", "1.2.3"], ["retry", "nothing"]):
        result = invoke(*words)
        assert result.exit_code == 4
        assert "`dicomnode list`" in result.stderr


@pytest.mark.parametrize(
    ("called", "message"),
    [
        ("PACZ", "no destination 'PACZ' (PACS); name one, or AE@HOST:PORT"),
        ("A@h", "name one, or AE@HOST:PORT"),
        ("A@h:0", "port "),
        ("A@h:x", "port "),
        ("SEVENTEEN_LETTERS@h:1", "at most 16"),
        ("A@:1", "host "),
    ],
)
def test_a_destination_that_cannot_be_meant(called: str, message: str) -> None:
    invoke("init")
    result = invoke("echo", called)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_program_runs_as_a_module() -> None:
    argv = [sys.executable, "-m", "dicomnode", "--version"]
    root = Path(__file__).resolve().parents[3]
    environ = os.environ | {"PYTHONPATH": str(root)}
    run = subprocess.run(argv, capture_output=True, text=True, env=environ)
    assert run.returncode == 0
    assert run.stdout.startswith("dicomnode 0.")


def interrupted() -> None:
    raise KeyboardInterrupt


def test_what_ctrl_c_ends_did_not_succeed() -> None:
    assert ended(interrupted) == 130
