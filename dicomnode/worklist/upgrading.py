"""Is the schema the one this program knows, and if not, migrate it.

A migration is one transaction on both databases: it is there in full or not at all, so
an interrupted one is simply run again.

A schema that is newer than this program can be worked with while programs are exchanged
one by one, if its last revision only added to what this program knows: ``v1_schema``
names the oldest revision whose programs it still suits.
"""

from __future__ import annotations

from contextlib import closing
from types import ModuleType

from sqlalchemy import Connection, inspect, text

from dicomnode.errors import WorklistError
from dicomnode.worklist import backups, engine, sqlite, state_counts
from dicomnode.worklist.engine import Database, open_database, open_readonly
from dicomnode.worklist.integrity import check_pages
from dicomnode.worklist.presence import alone
from dicomnode.worklist.schema import HEAD, KNOWN

BASE = "base"
"""Before the first revision: an empty database."""


def upgrade(url: str) -> str:
    """Bring the database to the schema of this program; the revision it has now.

    Creates a missing SQLite file with its folder, and keeps one of an older schema
    beside it as ``<file>.schema-<revision>``. Any number of processes may call it at
    once. Raises WorklistError, also for a newer schema that does not suit this program;
    one that does stays as it is.
    """
    _make_folder(url)
    with closing(open_database(url)) as database, database.write() as transaction:
        transaction.lock_migrations()
        before = _revision(transaction.connection)
        if suits_older(transaction.connection, before):
            return before
        if _known(before) != HEAD:
            _keep(url, before)
            _alembic().run_upgrade(transaction.connection, HEAD)
    return HEAD


def downgrade(url: str, revision: str) -> str:
    """Bring the schema back to ``revision``, or to ``base``: nothing; its name.

    The database is kept beside it first, as ``<file>.schema-<revision>``. Raises
    WorklistError for an unknown revision, and while a role runs on the database.
    """
    if revision not in (BASE, *KNOWN):
        known = ", ".join((BASE, *KNOWN))
        raise WorklistError(f"no schema revision {revision!r}; use one of {known}")
    with (
        alone(url),
        closing(open_database(url)) as database,
        database.write() as transaction,
    ):
        transaction.lock_migrations()
        _keep(url, _known(_revision(transaction.connection)))
        _alembic().run_downgrade(transaction.connection, revision)
    return revision


def check(url: str, integrity: bool = False, exact: bool = False) -> str:
    """The schema revision, if this program can work with it; raises WorklistError.

    ``integrity`` reads the whole SQLite file and finds damaged pages, and counts what
    is in each state. ``exact``: a newer schema will not do, because nothing in it may
    be overlooked.
    """
    with closing(open_readonly(url)) as database:
        if integrity:
            check_pages(url)
        revision = check_schema(database, exact=exact)
        if integrity:
            _check_counts(database)
        return revision


def _check_counts(database: Database) -> None:
    with database.read() as connection:
        wrong = state_counts.wrong(connection)
    if wrong:
        raise WorklistError(
            "the counts by state (v1_counts) lack, or have too much, "
            f"{state_counts.as_text(wrong)}; run `dicomnode reconcile --repair`"
        )


def check_schema(database: Database, *, exact: bool = False) -> str:
    """The schema revision of an open database; raises WorklistError unless it fits."""
    with database.read() as connection:
        revision = _revision(connection)
        if not exact and suits_older(connection, revision):
            return revision
        _known(revision)
    if revision != HEAD:
        raise WorklistError(
            f"the worklist database has schema {revision}, this program needs {HEAD}; "
            "run `dicomnode db upgrade`"
        )
    return revision


def suits_older(connection: Connection, revision: str) -> bool:
    """Whether a schema that this program does not know says that it may work on it."""
    if revision in (BASE, *KNOWN):
        return False
    if "v1_schema" not in inspect(connection).get_view_names():
        return False
    found = connection.execute(text("SELECT compatible_from FROM v1_schema")).scalar()
    return found is not None and str(found) <= HEAD


def _known(revision: str) -> str:
    if revision not in (BASE, *KNOWN):
        raise WorklistError(
            f"the worklist database has schema {revision}, newer than this program, "
            f"which knows up to {HEAD}; install the newer program again, or run its "
            f"`dicomnode db downgrade` to {HEAD} first"
        )
    return revision


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return BASE
    found = connection.execute(text("SELECT version_num FROM alembic_version"))
    return found.scalar() or BASE


def _keep(url: str, revision: str) -> None:
    parsed = engine.parse(url)
    if engine.is_sqlite(parsed) and revision != BASE:
        backups.kept_before(sqlite.database_path(parsed), revision)


def _make_folder(url: str) -> None:
    parsed = engine.parse(url)
    if not engine.is_sqlite(parsed):
        return
    folder = sqlite.database_path(parsed).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorklistError(
            f"cannot make the folder {folder}: {error.strerror}; make it by hand, or "
            "choose another node.data_dir"
        ) from error


def _alembic() -> ModuleType:
    # alembic takes a third of a second to import, and almost no start needs it.
    from dicomnode.worklist.migrations import running  # noqa: PLC0415

    return running
