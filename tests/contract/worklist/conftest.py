"""Every contract test runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from dicomnode.worklist import Worklist, open_worklist, upgrade
from dicomnode.worklist.schema import metadata
from tests.contract.worklist.cluster import (
    Cluster,
    quick_folder,
    running_cluster,
)

MakeUrl = Callable[..., str]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running PostgreSQL server."""
    with running_cluster() as server:
        yield server


@pytest.fixture(scope="session")
def administrator(cluster: Cluster) -> Iterator[Engine]:
    """A connection to the server for making databases."""
    engine = create_engine(cluster.url("postgres"), isolation_level="AUTOCOMMIT")
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def migrated_postgresql(cluster: Cluster, administrator: Engine) -> Iterator[Engine]:
    """A migrated database that the tests share, one after the other."""
    with administrator.connect() as connection:
        connection.execute(text("CREATE DATABASE shared TEMPLATE template0"))
    upgrade(cluster.url("shared"))
    engine = create_engine(cluster.url("shared"))
    yield engine
    engine.dispose()


@pytest.fixture
def make_postgresql(request: pytest.FixtureRequest) -> MakeUrl:
    """A function that gives an empty database, migrated unless asked otherwise."""
    cluster: Cluster = request.getfixturevalue("cluster")

    def make(migrated: bool = True) -> str:
        if migrated:
            empty_all_tables(request.getfixturevalue("migrated_postgresql"))
            return cluster.url("shared")
        name = f"test{next(_numbers)}"
        administrator: Engine = request.getfixturevalue("administrator")
        with administrator.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
        return cluster.url(name)

    return make


_numbers = itertools.count()


def empty_all_tables(engine: Engine) -> None:
    names = ", ".join(table.name for table in metadata.sorted_tables)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database to copy."""
    path = tmp_path_factory.mktemp("migrated") / "worklist.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def make_sqlite(migrated_file: Path) -> Iterator[MakeUrl]:
    """A function that makes a database file, migrated unless asked otherwise."""
    folder = tempfile.TemporaryDirectory(prefix="dicomnode-", dir=quick_folder())

    def make(migrated: bool = True) -> str:
        path = Path(folder.name) / f"worklist{next(_numbers)}.db"
        if migrated:
            shutil.copy(migrated_file, path)
        return f"sqlite:///{path}"

    with folder:
        yield make


@pytest.fixture(params=["sqlite", "postgresql"])
def make_url(request: pytest.FixtureRequest) -> MakeUrl:
    """A function that makes a database of the kind under test."""
    make: MakeUrl = request.getfixturevalue(f"make_{request.param}")
    return make


@pytest.fixture
def url(make_url: MakeUrl) -> str:
    """A migrated, empty database."""
    return make_url()


@pytest.fixture
def worklist(url: str) -> Iterator[Worklist]:
    """An open worklist."""
    with open_worklist(url) as opened:
        yield opened
