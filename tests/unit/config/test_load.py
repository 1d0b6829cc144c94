"""Which file is read, which source wins, and where paths start."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dicomnode import config
from dicomnode.errors import ConfigError

Write = Callable[[str], Path]
NOWHERE = {"CREDENTIALS_DIRECTORY": "/nonexistent"}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_no_file_gives_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = config.load(environ=NOWHERE)
    assert found.node.ae_title == "DICOMNODE"
    assert found.node.data_dir == tmp_path / "var"
    assert found.file is None
    assert found.pipeline == ()
    assert config.origin(found) == {}


def test_search_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("config", "variable", "given"):
        text = f'[node]\nae_title = "{name.upper()}"'
        (tmp_path / f"{name}.toml").write_text(text)
    variable = NOWHERE | {"DICOMNODE_CONFIG": str(tmp_path / "variable.toml")}

    given = config.load(tmp_path / "given.toml", environ=variable)
    assert given.node.ae_title == "GIVEN"
    assert given.file == tmp_path / "given.toml"
    assert config.load(environ=variable).node.ae_title == "VARIABLE"
    assert config.load(environ=NOWHERE).node.ae_title == "CONFIG"


def test_each_source_wins_over_the_next(write: Write, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    path = write("[receiver]\nport = 1\nhost = '10.0.0.1'\nmax_associations = 2\n")
    environ = {"CREDENTIALS_DIRECTORY": str(credentials)}

    assert config.load(path, environ=environ).receiver.port == 1
    (credentials / "receiver__port").write_text("2\n")
    assert config.load(path, environ=environ).receiver.port == 2
    environ["DICOMNODE_RECEIVER__PORT"] = "3"
    assert config.load(path, environ=environ).receiver.port == 3
    found = config.load(path, {"receiver.port": "4"}, environ)
    assert found.receiver.port == 4
    # What the other sources do not say stays.
    assert found.receiver.host == "10.0.0.1"
    assert found.receiver.max_associations == 2


def test_origin_names_the_place_of_each_value(write: Write, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "database__url").write_text("postgresql://u:geheim@h/d")
    path = write('[node]\nae_title = "X"\n[[peer]]\nae_title = "A"\nhosts = ["h"]\n')
    environ = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "DICOMNODE_WEB__PORT": "81",
    }
    found = config.load(path, {"receiver.tls.port": 5}, environ)

    places = config.origin(found)
    assert places["node.ae_title"] == f"{path}:2"
    assert places["peer[1].ae_title"] == f"{path}:4"
    assert places["database.url"] == f"credential {credentials / 'database__url'}"
    assert places["web.port"] == "environment DICOMNODE_WEB__PORT"
    assert places["receiver.tls.port"] == "command line"
    assert "receiver.port" not in places


def test_paths_start_at_the_folder_of_the_file(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(
        "[node]\ndata_dir = 'here'\n[store]\nurl = 'there'\n"
        "[receiver.tls]\ncertificate = 'c.pem'\nprivate_key = '/k.pem'"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    found = config.load(path, environ=NOWHERE)
    assert found.node.data_dir == tmp_path / "here"
    assert found.store.url == str(tmp_path / "there")
    assert found.receiver.tls.certificate == tmp_path / "c.pem"
    assert found.receiver.tls.private_key == Path("/k.pem")
    assert found.worklist_url == f"sqlite:///{tmp_path / 'here' / 'worklist.db'}"


def test_lists_and_tables_in_the_environment_are_written_as_in_the_file() -> None:
    environ = NOWHERE | {
        "DICOMNODE_DELIVERY__RETRY_SECONDS": "[1, 2.5]",
        "DICOMNODE_PEER": '[{ ae_title = "CT1", hosts = ["10.0.0.0/8"] }]',
    }
    found = config.load(environ=environ)
    assert found.delivery.retry_seconds == (1, 2.5)
    assert found.peer[0].hosts == ("10.0.0.0/8",)


def test_a_list_from_the_environment_replaces_that_of_the_file(write: Write) -> None:
    path = write("[[peer]]\nae_title='A'\nhosts=['h']\n[[peer]]\nae_title='B'")
    environ = NOWHERE | {"DICOMNODE_PEER": "[{ ae_title = 'C', hosts = ['h'] }]"}
    found = config.load(path, environ=environ)
    assert [one.ae_title for one in found.peer] == ["C"]
    assert config.origin(found) == {"peer": "environment DICOMNODE_PEER"}


def test_other_variables_and_credentials_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tls.key").write_text("of others")
    (tmp_path / "other__secret").write_text("of others")
    environ = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "DICOMNODE_TEST_DATA": "/x",
        "DICOMNODE_SUPERVISOR_PID": "1",
        "HOME": "/root",
    }
    assert config.load(environ=environ).node.ae_title == "DICOMNODE"


def test_a_misspelt_credential_is_refused_without_its_content(tmp_path: Path) -> None:
    (tmp_path / "database__ulr").write_text("postgresql://u:geheim@h/d")
    with pytest.raises(ConfigError, match="did you mean `url`") as caught:
        config.load(environ={"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "geheim" not in str(caught.value)


def test_numbers_that_may_be_absent_are_written_as_zero(write: Write) -> None:
    path = write("[study]\nexpected_n_series = 0\nexpected_n_instances = 4")
    study = config.load(path, environ=NOWHERE).study
    assert study.expected_n_series is None
    assert study.expected_n_instances == 4
    zero = config.load(environ=NOWHERE | {"DICOMNODE_STUDY__EXPECTED_N_SERIES": "0"})
    assert zero.study.expected_n_series is None


def test_the_configuration_is_frozen() -> None:
    found = config.load(environ=NOWHERE)
    with pytest.raises(ValueError, match="frozen"):
        found.receiver.port = 1  # type: ignore[misc]
