"""The commands on the worklist database as a whole: db upgrade, backup, copy, ..."""

# ruff: noqa: PLC0415 - SQLAlchemy and alembic only where they are needed

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.choosing import Yes, confirmed
from dicomnode.cli.command import AsJson, ExitCode, Given, command
from dicomnode.cli.setup import make_folder
from dicomnode.errors import WorklistError

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]
Revision = Annotated[
    str, typer.Argument(metavar="REVISION", help="A schema revision, such as 0002.")
]
Source = Annotated[str, typer.Argument(metavar="SRC", help="URL of the database.")]
Target = Annotated[
    str, typer.Argument(metavar="DST", help="URL of an empty or a missing database.")
]


def add_to(app: typer.Typer) -> None:
    """Register db."""
    of_db = typer.Typer(help="Migrate, check, back up or move the worklist database.")
    command(of_db, "upgrade")(upgrade)
    command(of_db, "downgrade")(downgrade)
    command(of_db, "check")(check)
    command(of_db, "backup")(backup)
    command(of_db, "restore")(restore)
    command(of_db, "copy")(copy)
    app.add_typer(of_db, name="db")


def upgrade(given: Given) -> None:
    """Create the worklist database, or migrate it to this program's version.

    An embedded one of an older version is kept beside it, as worklist.db.schema-NNNN.
    """
    from dicomnode.worklist import upgrade as upgraded

    config = given.load()
    make_folder(config.node.data_dir)
    upgraded(config.worklist_url)
    typer.echo("ok: the worklist database has this program's version")


def downgrade(given: Given, revision: Revision, yes: Yes = False) -> ExitCode:
    """Migrate back to the schema of an older program, with the node stopped.

    What the older schema cannot hold is lost; an embedded database is kept beside it,
    as worklist.db.schema-NNNN.
    """
    from dicomnode.worklist import downgrade as downgraded

    url = given.load().worklist_url
    if not confirmed(1, f"database to schema {revision}", yes=yes, dry_run=False):
        return ExitCode.ERROR
    downgraded(url, revision)
    typer.echo(f"ok: the worklist database has schema {revision}")
    return ExitCode.OK


def check(given: Given) -> ExitCode:
    """Check version and integrity of the worklist database; 3 if it is not sound."""
    from dicomnode.worklist import check as checked

    try:
        checked(given.load().worklist_url, integrity=True)
    except WorklistError as error:
        typer.echo(f"dicomnode: {error}", err=True)
        return ExitCode.UNHEALTHY
    typer.echo("ok: the worklist database is sound")
    return ExitCode.OK


def backup(given: Given, file: BackupFile) -> None:
    """Copy the embedded worklist database to FILE, also while the node runs.

    The copy is checked before it gets its name.
    """
    from dicomnode.worklist import backup as backed_up

    backed_up(given.load().worklist_url, file)
    typer.echo(f"ok: {file}, {file.stat().st_size} bytes, checked")


def restore(given: Given, file: BackupFile, yes: Yes = False) -> ExitCode:
    """Put a backup in the place of the worklist database, with the node stopped.

    The old database is kept beside it. Then `reconcile --repair` takes up again what
    came after the backup.
    """
    from dicomnode.worklist import restore as restored

    config = given.load()
    make_folder(config.node.data_dir)
    what = f"database to be replaced by {file}"
    if not confirmed(1, what, yes=yes, dry_run=False):
        return ExitCode.ERROR
    aside = restored(config.worklist_url, file, datetime.now(UTC))
    if aside is not None:
        typer.echo(f"kept: {aside}")
    typer.echo("restored; next: `dicomnode reconcile --repair`, then start the node")
    return ExitCode.OK


def copy(given: Given, source: Source, target: Target, as_json: AsJson = False) -> None:
    """Copy a worklist to another database, with every row counted and compared.

    SQLite to PostgreSQL or back, with the node stopped: `dicomnode drain` it first.
    """
    from dicomnode.worklist import copy as copied

    for one in copied(source, target):
        if as_json:
            printing.as_json(asdict(one))
        else:
            typer.echo(f"{one.n_rows:>9} {one.table:<16} sha256 {one.sha256}")
    if not as_json:
        typer.echo("ok: counts and checksums are the same; set [database] url")
