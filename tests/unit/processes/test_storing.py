"""`[store]` to concrete stores: which, where, and what is said when one cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dicomnode import config as configuration
from dicomnode.config import Config
from dicomnode.errors import ConfigError
from dicomnode.processes import storing
from dicomnode.store import Inspection, LocalStore
from dicomnode.store.object_stock import ObjectInspection
from dicomnode.store.objects import ObjectStore
from dicomnode.store.spool import SpoolInspection, SpoolStore
from tests.object_server import ObjectServer

NOWHERE = {"CREDENTIALS_DIRECTORY": "/nonexistent"}


def configured(folder: Path, store: str = "") -> Config:
    file = folder / "config.toml"
    file.write_text(f"[store]\nwatermark_percent = 100\n{store}")
    return configuration.load(file, environ=NOWHERE)


def kinds(config: Config) -> list[type]:
    return [
        type(storing.open_store(config)),
        type(storing.open_results_store(config)),
        type(storing.open_stock(config)),
        type(storing.open_results_stock(config)),
    ]


def test_folders_are_the_default(tmp_path: Path) -> None:
    given = configured(tmp_path)
    assert kinds(given) == [LocalStore, LocalStore, Inspection, Inspection]
    assert {path.name for path in (tmp_path / "var").iterdir()} == {
        "instances",
        "results",
    }


def test_folders_may_be_shared_ones(tmp_path: Path) -> None:
    given = configured(
        tmp_path, 'url = "shared/instances"\nresults_url = "shared/results"'
    )
    kinds(given)
    names = {path.name for path in (tmp_path / "shared").iterdir()}
    assert names == {"instances", "results"}


@pytest.mark.parametrize(
    ("more", "instances", "stock"),
    [
        ("", ObjectStore, ObjectInspection),
        ("spool = true", SpoolStore, SpoolInspection),
    ],
)
def test_results_follow_the_instances_into_the_bucket(
    tmp_path: Path, s3_server: ObjectServer, more: str, instances: type, stock: type
) -> None:
    url = f's3://bucket/a/b/"\nendpoint = "{s3_server.endpoint}"\n{more}'
    given = configured(tmp_path, f'url = "{url}')
    assert kinds(given) == [instances, ObjectStore, stock, ObjectInspection]
    bucket = storing.open_bucket(given, given.store.url, "results")
    assert (bucket._place.bucket, bucket._place.prefix) == ("bucket", "a/b/results")
    assert [kind for _, kind in storing.remote_urls(given)] == ["instances", "results"]


def test_results_may_stay_here(tmp_path: Path, s3_server: ObjectServer) -> None:
    given = configured(
        tmp_path,
        f'url = "s3://bucket"\nresults_url = "here"\nendpoint = "{s3_server.endpoint}"',
    )
    assert kinds(given)[:2] == [ObjectStore, LocalStore]
    assert (tmp_path / "here").is_dir()


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "dicomnode.store.bucket", raising=False)
    monkeypatch.setitem(sys.modules, "botocore.config", None)
    with pytest.raises(ConfigError, match=r"dicomnode\[s3\]"):
        storing.open_store(configured(tmp_path, 'url = "s3://bucket"'))


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("spool = true", "no object store to hand over to"),
        ('url = "s3://"', "no store we know"),
        ('url = "s3://key:secret@bucket"', "must not hold credentials"),
        ('url = "ftp://host/x"', "no store we know"),
        ('endpoint = "objects.example.org"', "https://host:port"),
        ('endpoint = "https://key:secret@host"', "must not hold credentials"),
        ("timeout_seconds = 0", "timeout_seconds"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, store: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        configured(tmp_path, store)
    assert "key:secret" not in str(caught.value)
