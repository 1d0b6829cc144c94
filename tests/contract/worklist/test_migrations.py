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
from sqlalchemy.engine.interfaces import ReflectedIndex

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
from tests.contract.worklist.making import NOON


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
                sorted(map(str, map(plain, asked.get_indexes(name)))),
                sorted(index_definitions(connection, name)),
            )
            for name in asked.get_table_names()
            if name != "alembic_version"
        }


def plain(index: ReflectedIndex) -> dict[str, object]:
    """Without the object for a partial index: its definition tells the condition."""
    return {key: one for key, one in index.items() if key != "dialect_options"}


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


FIRST = """
INSERT INTO studies VALUES ('1.2', 1, NULL);
INSERT INTO revisions VALUES
  ('1.2', 1, 'ROUTED', '', 'Z', 'Z', NULL, NULL, 1, 1, '', 'CR', 'CT1', FALSE);
INSERT INTO jobs VALUES ('7f', '1.2', 1, 'cxr', 0, 'COMPLETED', 'ANALYSED', '', '', 1,
  'w1', 'Z', 'Z', NULL, NULL, NULL);
INSERT INTO results VALUES
  (1, '7f', 'sr', '1.2.3', '1.2.9', '1.2.8', 'there', '5a', 'Z');
INSERT INTO deliveries VALUES
  (1, 1, '7f', 'PACS', 'SENT', 1, 'Z', NULL, 0, '', 'Z', NULL)
"""
"""A sent delivery as the first schema has it."""


def test_deliveries_of_the_first_schema_live_on(make_url: MakeUrl) -> None:
    url = make_url(migrated=False)
    upgrade(url)
    downgrade(url, "0001")
    with pytest.raises(
        WorklistError, match=f"needs {HEAD}; run `dicomnode db upgrade`"
    ):
        check(url)
    with connected(url) as connection:
        for statement in FIRST.split(";"):
            connection.execute(text(statement))
    upgrade(url)
    with open_worklist(url) as worklist:
        (found,) = worklist.views.deliveries()
        assert (found["state"], found["check_at"]) == ("SENT", None)
        assert worklist.commitments.unconfirmed("PACS", NOON, 60, 9) == []
        assert worklist.studies.unfollowed(9) == []
    with connected(url) as connection:
        connection.execute(text("UPDATE deliveries SET state = 'CANCELED'"))
    downgrade(url, "0001")
    with connected(url) as connection:
        (state,) = connection.execute(text("SELECT state FROM v1_deliveries")).one()
    assert state == "FAILED"


def test_rights_on_a_view_outlive_the_upgrade(make_postgresql: MakeUrl) -> None:
    url = make_postgresql(migrated=False)
    upgrade(url)
    downgrade(url, "0001")
    granted = "SELECT has_table_privilege('pg_monitor', 'v1_deliveries', 'SELECT')"
    with connected(url) as connection:
        connection.execute(text("GRANT SELECT ON v1_deliveries TO pg_monitor"))
    upgrade(url)
    with connected(url) as connection:
        assert connection.execute(text(granted)).scalar()


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
        connection.execute(text("DROP VIEW v1_schema"))
        mark = "CREATE VIEW v1_schema AS SELECT '9999' AS compatible_from"
        connection.execute(text(mark))
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
