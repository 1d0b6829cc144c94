"""A key of one of several tables is reached by the table's name; so are its secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicomnode import config
from dicomnode.config import Config
from dicomnode.errors import ConfigError

PACS = '[[destination]]\nname = "PACS"\nae_title = "P"\nhost = "h"\nport = 104\n'
VNA = (
    '[[destination]]\nname = "VNA-1"\nae_title = "V"\nhost = "h"\nport = 104\n'
    'retrieve = "dicomweb"\ndicomweb_url = "https://vna.example/dicom-web/"\n'
)


def loaded(folder: Path, text: str, **environ: str) -> Config:
    path = folder / "c.toml"
    path.write_text(text)
    nowhere = {"CREDENTIALS_DIRECTORY": str(folder / "credentials")}
    return config.load(path, environ={**nowhere, **environ})


def test_a_secret_of_one_destination_lies_in_the_credentials_directory(
    tmp_path: Path,
) -> None:
    (tmp_path / "credentials").mkdir()
    file = tmp_path / "credentials" / "destination__VNA-1__dicomweb_token"
    file.write_text("sesame\n")
    found = loaded(tmp_path, PACS + VNA, DICOMNODE_DESTINATION__PACS__PORT="11112")
    pacs, vna = found.destination
    assert vna.dicomweb_token.get_secret_value() == "sesame"
    assert (pacs.port, vna.port) == (11112, 104)
    assert not pacs.dicomweb_token.get_secret_value()
    assert vna.dicomweb_url == "https://vna.example/dicom-web"
    origins = config.origin(found)
    assert origins["destination[2].dicomweb_token"] == f"credential {file}"
    assert origins["destination[2].port"] == f"{tmp_path / 'c.toml'}:10"
    assert "sesame" not in "".join(one.value for one in config.shown(found))


def test_a_name_that_no_table_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name one of PACS, VNA-1") as raised:
        loaded(tmp_path, PACS + VNA, DICOMNODE_DESTINATION__PACX__PORT="1")
    assert "environment DICOMNODE_DESTINATION__PACX__PORT" in str(raised.value)
    with pytest.raises(ConfigError, match="or several have"):
        loaded(tmp_path, PACS + PACS, DICOMNODE_DESTINATION__PACS__PORT="1")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('retrieve = "dicomweb"', "no dicomweb_url; write where it is"),
        ('retrieve = "c-put"', 'must be "c-move"'),
        ('dicomweb_url = "ftp://h"', "write https://host:port/dicom-web"),
        ('dicomweb_url = "https://u:p@h/d"', "must hold neither credentials"),
        ('dicomweb_url = "http://h/d"\ndicomweb_user = "u"', "in the clear"),
        ('dicomweb_url = "http://h/d"\ndicomweb_token = "t"', "in the clear"),
        (
            'dicomweb_url = "https://h"\ndicomweb_user = "u"\ndicomweb_token = "t"',
            "remove the other",
        ),
    ],
)
def test_what_cannot_be_meant_is_told(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, f"{PACS}{more}\n")
    assert told.replace('"', "") in str(raised.value).replace("'", "").replace('"', "")


def test_credentials_may_go_in_the_clear_within_this_machine(tmp_path: Path) -> None:
    here = 'dicomweb_url = "http://127.0.0.1:8042/dicom-web"\ndicomweb_user = "u"\n'
    assert loaded(tmp_path, PACS + here).destination[0].dicomweb_user == "u"
