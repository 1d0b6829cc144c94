"""Migrations: the same schema by every way, all or nothing, never a newer one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from dicomnode.errors import WorklistError
from dicomnode.worklist import (
    check,
    downgrade,
    migrations,
    open_views,
    open_worklist,
    upgrade,
)
from dicomnode.worklist.migrations import running
from dicomnode.worklist.schema import HEAD, KNOWN, metadata
from tests.contract.worklist.conftest import MakeUrl


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def everything(url: str) -> dict[str, object]:
    """Columns, keys and indexes of every table."""
    with connected(url) as connection:
        asked = inspect(connection)
        return {
            name: (
                [str(sorted(map(str, one.items()))) for one in asked.get_columns(name)],
                asked.get_pk_constraint(name)["constrained_columns"],
                sorted(str(one) for one in asked.get_foreign_keys(name)),
                sorted(str(one) for one in asked.get_unique_constraints(name)),
                sorted(str(one) for one in asked.get_indexes(name)),
                sorted(index_definitions(connection, name)),
            )
            for name in asked.get_table_names()
            if name != "alembic_version"
        }


def index_definitions(connection: Connection, table: str) -> list[str]:
    query = "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = :table"
    if connection.dialect.name == "postgresql":
        query = "SELECT indexdef FROM pg_indexes WHERE tablename = :table"
    found = connection.execute(text(query), {"table": table}).scalars()
    return [str(definition) for definition in found]


def view_names(url: str) -> list[str]:
    with connected(url) as connection:
        return sorted(inspect(connection).get_view_names())


def test_all_migrations_equal_the_fresh_schema(make_url: MakeUrl) -> None:
    migrated, fresh = make_url(migrated=False), make_url(migrated=False)
    upgrade(migrated)
    with connected(fresh) as connection:
        metadata.create_all(connection)
    assert everything(migrated) == everything(fresh)
    assert len(everything(fresh)) == len(metadata.tables)
    with connected(migrated) as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_down_and_up_again(make_url: MakeUrl) -> None:
    url = make_url(migrated=False)
    upgrade(url)
    before, views = everything(url), view_names(url)
    downgrade(url, "base")
    assert (everything(url), view_names(url)) == ({}, [])
    with pytest.raises(WorklistError, match="dicomnode db upgrade"):
        check(url)
    assert upgrade(url) == HEAD
    assert (everything(url), view_names(url)) == (before, views)


def test_an_interrupted_migration_leaves_nothing(
    make_url: MakeUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_url(migrated=False)
    whole = running.run_upgrade

    def interrupted(connection: Connection, revision: str) -> None:
        whole(connection, revision)
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run_upgrade", interrupted)
    with pytest.raises(KeyboardInterrupt):
        upgrade(url)
    assert everything(url) == {}
    monkeypatch.undo()
    assert upgrade(url) == HEAD


@pytest.mark.parametrize("use", [check, upgrade, open_worklist, open_views])
def test_a_newer_schema_is_refused(
    make_url: MakeUrl, use: Callable[[str], object]
) -> None:
    url = make_url(migrated=False)
    upgrade(url)
    with connected(url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(WorklistError, match=r"newer than this program.*install"):
        use(url)


def test_an_unknown_target_is_refused(url: str) -> None:
    with pytest.raises(WorklistError, match="base, 0001"):
        downgrade(url, "1789")


def test_the_program_knows_every_migration() -> None:
    config = Config()
    folder = Path(str(migrations.__file__)).parent
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [HEAD]
    known = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(known)) == KNOWN


def test_upgrade_makes_the_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "down" / "worklist.db"
    assert upgrade(f"sqlite:///{path}") == HEAD
    assert check(f"sqlite:///{path}", integrity=True) == HEAD
