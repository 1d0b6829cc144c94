"""The command `purge`: a study, or what was refused, removed for good."""

# ruff: noqa: PLC0415 - SQLAlchemy only where it is needed

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.choosing import DryRun, Reason, Yes, confirmed, opened_desk, operator
from dicomnode.cli.command import AsJson, ExitCode, Given
from dicomnode.cli.reading import opened_views
from dicomnode.domain.desk import said
from dicomnode.errors import UnknownStudy

if TYPE_CHECKING:
    from dicomnode.config import Config

Study = Annotated[
    str, typer.Option("--study", metavar="UID", help="Its Study Instance UID.")
]


OfQuarantine = Annotated[
    bool,
    typer.Option("--quarantine", help="What was refused and set aside, of no study."),
]


def purge(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    reason: Reason,
    study: Study = "",
    *,
    quarantine: OfQuarantine = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Remove all files and rows of one study for good; who, when and why stay.

    What destinations have got stays there: remove it in the PACS. With --quarantine
    the data sets go that were refused and set aside, instead of a study.
    """
    config = given.load()
    if quarantine == bool(study):
        message = "name either a study with --study UID, or --quarantine"
        raise typer.BadParameter(message, param_hint="--study")
    if quarantine:
        return _emptied(config, reason, yes=yes, dry_run=dry_run, as_json=as_json)
    with opened_views(config) as views:
        rows = [row for row in views.worklist() if row["study_instance_uid"] == study]
    if not rows:
        raise UnknownStudy(f"no study {study}; `dicomnode list` shows them")
    what = f"instance(s) of study {study}, with all results and rows"
    count = max(row["n_instances"] for row in rows)
    if not confirmed(count, what, yes=yes, dry_run=dry_run):
        return ExitCode.OK
    n_files = _purged(config, study, reason)
    if as_json:
        printing.as_json({"study_instance_uid": study, "n_files": n_files})
    else:
        typer.echo(f"{study} purged: {n_files} file(s)")
    return ExitCode.OK


def _purged(config: Config, study: str, reason: str) -> int:
    from dicomnode.processes import purging
    from dicomnode.processes.auditing import audited_command

    wish = purging.Wish(study, operator(), reason)
    with opened_desk(config) as worklist, audited_command("purge", config) as audit:
        return purging.purge(config, worklist, audit, wish)


def _emptied(
    config: Config, reason: str, *, yes: bool, dry_run: bool, as_json: bool
) -> ExitCode:
    from dicomnode.health.looking import set_aside, surroundings
    from dicomnode.processes import purging
    from dicomnode.processes.auditing import audited_command

    count = set_aside(surroundings(config)).n_files
    if not confirmed(count, "refused data set(s)", yes=yes, dry_run=dry_run):
        return ExitCode.OK
    why = said(operator(), reason)
    with opened_desk(config) as worklist, audited_command("purge", config) as audit:
        n_files = purging.empty_quarantine(config, worklist, audit, why)
    if as_json:
        printing.as_json({"n_files": n_files})
    else:
        typer.echo(f"quarantine emptied: {n_files} file(s)")
    return ExitCode.OK
