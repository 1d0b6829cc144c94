"""What `config show` prints can be read again, all but its secrets, which say so."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from dicomnode.config import load, shown
from dicomnode.errors import ConfigError

HASH = f"scrypt:{'A' * 22}==:{'A' * 43}="
GIVEN = {
    "web.secret": '[web]\nsecret = "planted"\n',
    "database.url": '[database]\nurl = "postgresql+psycopg://u:planted@h/db"\n',
    "account[1].secret": f'[[account]]\nname = "ann"\nsecret = "{HASH}"\n',
}


def printed(folder: Path, text: str) -> Path:
    """The file that `config show` makes of one."""
    (folder / "given.toml").write_text(text)
    keys = shown(load(folder / "given.toml", environ={}))
    lines = []
    for _, table in groupby(keys, lambda one: one.table):
        rows = list(table)
        lines += [rows[0].header, *(f"{one.key} = {one.value}" for one in rows)]
    (folder / "shown.toml").write_text("\n".join(lines))
    return folder / "shown.toml"


def test_without_secrets_it_is_the_same_configuration(tmp_path):
    path = printed(tmp_path, '[[peer]]\nae_title = "CT1"\nhosts = ["10.0.0.1"]\n')
    again = load(path, environ={}).model_dump()
    assert again == load(tmp_path / "given.toml", environ={}).model_dump()


@pytest.mark.parametrize("key", GIVEN)
def test_a_masked_secret_is_refused_with_its_line_and_remedy(tmp_path, key):
    path = printed(tmp_path, GIVEN[key])
    text = path.read_text()
    assert "planted" not in text
    line = next(n for n, one in enumerate(text.splitlines(), 1) if "***" in one)
    with pytest.raises(ConfigError) as refused:
        load(path, environ={})
    said = str(refused.value)
    assert f"shown.toml:{line}: " in said
    assert "is the mask that `config show` prints" in said
    assert "by a credential or the environment" in said
