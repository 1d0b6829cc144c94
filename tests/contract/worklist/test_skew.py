"""Rolling upgrade: older programs work on a newer schema that only adds to theirs."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from dicomnode.errors import WorklistError
from dicomnode.worklist import check, copy, open_views, open_worklist, upgrade
from tests.contract.worklist.conftest import MakeUrl
from tests.contract.worklist.making import (
    after,
    delivered,
    finished,
    new_result,
    received,
)

NEWER = "0999"
_ADDED = (
    "ALTER TABLE jobs ADD COLUMN colour TEXT",
    "ALTER TABLE instances ADD COLUMN taste TEXT NOT NULL DEFAULT 'sweet'",
    "CREATE TABLE later (number INTEGER)",
    f"UPDATE alembic_version SET version_num = '{NEWER}'",
)


def run(url: str, *statements: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        for one in statements:
            connection.execute(text(one))
    engine.dispose()


@pytest.fixture
def newer(make_url: MakeUrl) -> str:
    """A database as the next release leaves it."""
    url = make_url(migrated=False)
    upgrade(url)
    run(url, *_ADDED)
    return url


def test_an_older_program_works_on_what_was_added(newer: str) -> None:
    assert check(newer) == NEWER
    assert upgrade(newer) == NEWER
    with open_worklist(newer) as worklist:
        finished(worklist, new_result(1, "PACS"))
        assert len(delivered(worklist)) == 1
        worklist.intake.record(received(2, at=after(9)))
        assert worklist.upkeep.lead("me", after(9), 10)
    views = open_views(newer)
    assert [row["revision"] for row in views.worklist()] == [2, 1]
    views.close()


def test_a_schema_that_took_away_is_refused(newer: str) -> None:
    run(
        newer,
        "DROP VIEW v1_schema",
        f"CREATE VIEW v1_schema AS SELECT '{NEWER}' AS compatible_from",
    )
    for act in (check, upgrade, open_worklist):
        with pytest.raises(WorklistError, match="newer than this program"):
            act(newer)


def test_a_copy_overlooks_nothing(newer: str, make_sqlite: MakeUrl) -> None:
    with pytest.raises(WorklistError, match="newer than this program"):
        copy(newer, make_sqlite(migrated=False))


def test_a_newer_schema_without_the_mark_is_refused(newer: str) -> None:
    run(newer, "DROP VIEW v1_schema")
    with pytest.raises(WorklistError, match="newer than this program"):
        check(newer)
