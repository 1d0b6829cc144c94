"""The ``dicomnode`` program: its commands in one place."""

# ruff: noqa: PLC0415 - imports on demand keep --help fast

from __future__ import annotations

from typing import Annotated

import typer

from dicomnode.cli import (
    accepting,
    accounts,
    acting,
    alert,
    backfill,
    conformance,
    database,
    desk,
    doctor,
    models,
    reading,
    reconcile,
    reloading,
    roles,
    setup,
    status,
    stopping,
    support,
    tailing,
    top,
)
from dicomnode.cli.command import ConfigFile, Settings, given_by

HELP = """A PACS-integrated AI node: receives studies by C-STORE, classifies them with a
CNN, returns DICOM Structured Reports. Research use only.

Exit codes: 0 ok, 1 error, 2 usage or configuration, 3 unhealthy, 4 not found.
"""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from dicomnode.version import VERSION

        typer.echo(f"dicomnode {VERSION}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", is_eager=True, callback=_print_version, help="Print the version."
    ),
]


@app.callback()
def before_commands(
    ctx: typer.Context,
    config: ConfigFile = None,
    setting: Settings = None,
    version: Version = False,
) -> None:
    """Keep what was given before the name of the command."""
    ctx.obj = given_by(config, setting)


roles.add_to(app)
setup.add_to(app)
database.add_to(app)
status.add_to(app)
top.add_to(app)
doctor.add_to(app)
support.add_to(app)
reading.add_to(app)
tailing.add_to(app)
desk.add_to(app)
stopping.add_to(app)
reloading.add_to(app)
reconcile.add_to(app)
acting.add_to(app)
backfill.add_to(app)
models.add_to(app)
conformance.add_to(app)
accepting.add_to(app)
accounts.add_to(app)
alert.add_to(app)
