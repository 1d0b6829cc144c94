"""Backup, restore and copy of the whole database; its integrity."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dicomnode.errors import WorklistError
from dicomnode.worklist import (
    Worklist,
    backup,
    check_pages,
    copy,
    downgrade,
    open_worklist,
    restore,
    upgrade,
)
from dicomnode.worklist.schema import HEAD
from tests.contract.worklist.conftest import MakeUrl
from tests.contract.worklist.making import (
    NOON,
    SECRET,
    STUDY,
    after,
    finished,
    kinds,
    new_result,
    received,
)


def path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


@pytest.fixture
def url(make_sqlite: MakeUrl) -> str:
    return make_sqlite()


@pytest.fixture
def target(url: str) -> Path:
    return path_of(url).with_name("backup.db")


def test_a_backup_is_one_checked_file_while_others_write(
    url: str, target: Path
) -> None:
    with open_worklist(url) as worklist:
        finished(worklist, new_result(1, "PACS"))
        with worklist._database.write() as transaction:
            # Committed after the backup began: not in it, and not in its way.
            backup(url, target)
            transaction.lock_migrations()
        before = kinds(worklist)
        worklist.intake.record(received(2, at=after(9)))
    assert list(target.parent.glob("backup.db?*")) == []
    with open_worklist(f"sqlite:///{target}") as copied:
        assert kinds(copied) == before


def test_a_backup_replaces_nothing(url: str, target: Path) -> None:
    target.write_text("precious")
    with pytest.raises(WorklistError, match="exists; name another"):
        backup(url, target)
    assert target.read_text() == "precious"
    with pytest.raises(WorklistError, match="writable"):
        backup(url, target.parent / "missing" / "b.db")


def test_a_restore_keeps_the_old_one_aside(url: str, target: Path) -> None:
    with open_worklist(url) as worklist:
        worklist.intake.record(received())
        backup(url, target)
        worklist.intake.record(received(study="1.2.3"))
        with pytest.raises(WorklistError, match=r"in use; stop the node"):
            restore(url, target, NOON)
        assert len(worklist.views.worklist()) == 2
    aside = restore(url, target, NOON)
    assert aside is not None
    assert aside.name.endswith(".replaced-20260131T120000Z")
    with open_worklist(url) as restored:
        assert [one["study_instance_uid"] for one in restored.views.worklist()] == [
            STUDY
        ]
    with open_worklist(f"sqlite:///{aside}") as old:
        assert len(old.views.worklist()) == 2


def test_a_restore_wants_a_sound_backup(url: str, target: Path) -> None:
    with pytest.raises(WorklistError, match="no backup"):
        restore(url, target, NOON)
    target.write_bytes(b"no database at all, only some text " * 200)
    with pytest.raises(WorklistError, match="not a database"):
        restore(url, target, NOON)
    target.unlink()
    with closing(sqlite3.connect(target)) as other:
        other.execute("CREATE TABLE something (x)")
    with pytest.raises(WorklistError, match="no worklist database"):
        restore(url, target, NOON)
    check_pages(url)


def test_a_backup_of_postgresql_is_its_own_business(make_postgresql: MakeUrl) -> None:
    url = make_postgresql()
    with pytest.raises(WorklistError, match="pg_dump"):
        backup(url, Path("never"))
    with pytest.raises(WorklistError, match="pg_restore"):
        restore(url, Path("never"), NOON)


def fill(worklist: Worklist) -> None:
    for number in range(1, 4):
        study = f"{STUDY}.{number}"
        finished(worklist, new_result(number, "PACS", study=study), study=study)
    worklist.intake.record(received(content="ü\u2028 other"))


def everything(worklist: Worklist) -> list[object]:
    views = worklist.views
    return [views.worklist(), views.events(), views.deliveries(), views.identity(STUDY)]


@pytest.mark.parametrize(
    ("source", "destination"),
    [("sqlite", "postgresql"), ("postgresql", "sqlite"), ("sqlite", "sqlite")],
)
def test_a_copy_is_the_same_and_works_on(
    request: pytest.FixtureRequest, source: str, destination: str
) -> None:
    make: Callable[..., str] = request.getfixturevalue(f"make_{source}")
    make_target: Callable[..., str] = request.getfixturevalue(f"make_{destination}")
    url, target = make(), make_target(migrated=False)
    with open_worklist(url) as worklist:
        fill(worklist)
        expected = everything(worklist)
    copied = {one.table: one.n_rows for one in copy(url, target)}
    assert (copied["studies"], copied["jobs"], copied["deliveries"]) == (4, 3, 3)
    with open_worklist(target) as there:
        assert everything(there) == expected
        assert there.views.identity(STUDY)[0]["patient_name"] == SECRET
        n_events = len(kinds(there))
        finished(there, new_result(9, "PACS", study="1.2.9"), study="1.2.9")
        assert len(kinds(there)) > n_events
    with pytest.raises(WorklistError, match="name an empty one"):
        copy(url, target)


def test_a_copy_of_a_running_node_is_refused(make_sqlite: MakeUrl) -> None:
    url, target = make_sqlite(), make_sqlite(migrated=False)
    with open_worklist(url), pytest.raises(WorklistError, match="in use"):
        copy(url, target)


def damage(path: Path, begin: int = 2) -> None:
    """Flip every bit of some pages in the middle of the file."""
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    for place in range(begin * page, min(len(content), (begin + 12) * page)):
        content[place] ^= 0xFF
    path.write_bytes(bytes(content))


def test_damaged_pages_are_found(url: str) -> None:
    assert check_pages(url)
    path = path_of(url)
    damage(path)
    with pytest.raises(WorklistError, match=r"db restore FILE.*reconcile --repair"):
        check_pages(url)
    path.write_bytes(b"\0" * 4096)
    with pytest.raises(WorklistError, match="db restore FILE"):
        check_pages(url)


def test_the_check_of_a_large_database_is_bounded(url: str) -> None:
    with closing(sqlite3.connect(path_of(url))) as filling:
        filling.execute("CREATE TABLE filler (text)")
        filling.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
            "WHERE i < 30000) INSERT INTO filler SELECT hex(randomblob(20)) FROM n"
        )
        filling.commit()
    assert check_pages(url, seconds=0.0) is False
    assert check_pages(url, seconds=60) is True


def test_a_missing_database_is_sound(make_sqlite: MakeUrl) -> None:
    assert check_pages(make_sqlite(migrated=False))


def test_the_database_is_kept_before_its_schema_changes(url: str) -> None:
    path = path_of(url)
    with open_worklist(url) as worklist:
        worklist.intake.record(received())
    downgrade(url, "0001")
    assert path.with_name(f"{path.name}.schema-{HEAD}").exists()
    upgrade(url)
    kept = path.with_name(f"{path.name}.schema-0001")
    again = path.with_name("again.db")
    shutil.copy(kept, again)
    upgrade(f"sqlite:///{again}")
    with open_worklist(f"sqlite:///{again}") as old:
        assert len(old.views.worklist()) == 1


def test_a_downgrade_waits_for_the_node_to_stop(url: str) -> None:
    with open_worklist(url), pytest.raises(WorklistError, match="stop the node"):
        downgrade(url, "0001")
