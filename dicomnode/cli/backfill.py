"""The commands on an archive's history: backfill, its status, its stop."""

# ruff: noqa: PLC0415 - pynetdicom and SQLAlchemy only where they are needed

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.acting import destination_of, name_of
from dicomnode.cli.choosing import DryRun, operator
from dicomnode.cli.command import AsJson, ExitCode, Given, command, group_command
from dicomnode.cli.reading import opened_views
from dicomnode.errors import ConfigError, UnknownStudy
from dicomnode.views import Record

if TYPE_CHECKING:
    from dicomnode.config import Config
    from dicomnode.processes.backfill import Wish

From = Annotated[
    str,
    typer.Option(
        "--from", metavar="ARCHIVE", help="A destination's name, or AE@HOST:PORT."
    ),
]
Query = Annotated[
    list[str] | None,
    typer.Option(
        "--query",
        metavar="KEY=VALUE",
        show_default=False,
        help="What to match at study level, e.g. ModalitiesInStudy=DX or "
        "StudyDate=20250101-20250331; repeatable.",
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=0, help="Studies at most; 0: all.")]
Rate = Annotated[
    float, typer.Option("--rate", min=0, help="Studies an hour at most; 0: no limit.")
]
Resume = Annotated[
    str, typer.Option("--resume", metavar="ID", help="Go on with a backfill.")
]
Which = Annotated[str, typer.Argument(metavar="ID", help="Of `backfill status`.")]

_COLUMNS = (
    "backfill_id",
    "archive",
    "state",
    "n_found",
    "n_waiting",
    "n_asked",
    "n_received",
    "n_analysed",
    "n_skipped",
    "n_failed",
    "heartbeat_at",
    "paused_at",
    "detail",
)
_STUDY_COLUMNS = ("study_instance_uid", "state", "attempts", "reason")


def add_to(app: typer.Typer) -> None:
    """Register backfill."""
    of_backfill = typer.Typer(help=backfill.__doc__)
    group_command(of_backfill)(backfill)
    command(of_backfill, "status")(status)
    command(of_backfill, "stop")(stop)
    command(of_backfill, "pause")(pause)
    command(of_backfill, "go-on")(go_on)
    app.add_typer(of_backfill, name="backfill")


def backfill(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    *,
    source: From = "",
    query: Query = None,
    limit: Limit = 0,
    rate: Rate = 0.0,
    resume: Resume = "",
    dry_run: DryRun = False,
) -> ExitCode:
    """Bring an archive's history in, at the lowest priority, as `retrieve` says."""
    from dicomnode.domain.backfill import RunState
    from dicomnode.processes import backfill as process

    config = given.load()
    wish = (
        _resumed(config, resume, source, rate)
        if resume
        else _new(config, source, query or (), limit, rate)
    )
    if dry_run:
        return _print_found(config, wish)
    ended = process.main(config, wish)
    typer.echo(f"{ended.lower()}; `dicomnode backfill status` shows what came of it")
    return ExitCode.OK if ended is RunState.COMPLETED else ExitCode.ERROR


def _new(
    config: Config, source: str, query: Sequence[str], limit: int, rate: float
) -> Wish:
    from dicomnode.processes.backfill import Wish

    if not source or not query:
        message = (
            "name the archive with --from and what to bring in with --query, or "
            "--resume a backfill"
        )
        raise typer.BadParameter(message, param_hint="--from")
    archive = destination_of(source, config)
    return Wish(
        archive=archive,
        name=name_of(archive, config),
        query=dict(_pair(one) for one in query),
        limit=limit,
        per_hour=rate,
        by=operator(),
    )


def _resumed(config: Config, backfill_id: str, source: str, rate: float) -> Wish:
    """The archive by the name it had; --from is needed for one that has no name."""
    from dicomnode.processes.backfill import Wish

    with opened_views(config) as views:
        row = _row(views.backfills(backfill_id), backfill_id)
    archive = destination_of(source or str(row["archive"]), config)
    name = name_of(archive, config)
    return Wish(archive, name, {}, per_hour=rate, resume=backfill_id, by=operator())


def _row(rows: Sequence[Record], backfill_id: str) -> Record:
    if rows:
        return rows[0]
    message = f"no backfill {backfill_id}; `dicomnode backfill status` shows them"
    raise UnknownStudy(message)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (equals and key.strip()):
        message = f"{text!r} has no KEY=VALUE; write for example ModalitiesInStudy=DX"
        raise ConfigError(message)
    return key.strip(), value.strip()


def _print_found(config: Config, wish: Wish) -> ExitCode:
    from itertools import islice

    from dicomnode.processes import backfill as process

    if wish.resume:
        raise typer.BadParameter("begins nothing new", param_hint="--dry-run")
    studies = n_instances = 0
    for one in islice(process.found(config, wish), wish.limit or None):
        studies += 1
        n_instances += one.n_instances or 0
    typer.echo(f"{studies} studies, {n_instances} instances as the archive counts")
    return ExitCode.OK


def status(given: Given, as_json: AsJson = False) -> None:
    """List the backfills, the newest first, and what has failed with its reason."""
    with opened_views(given.load()) as views:
        found = views.backfills()
        failed = views.backfill_studies("FAILED")
    if as_json:
        for row in found:
            printing.as_json({"record": "backfill", **row})
        for row in failed:
            printing.as_json({"record": "study", **row})
        return
    printing.rows("backfills", _COLUMNS, found)
    if failed:
        printing.rows("failed", _STUDY_COLUMNS, failed)


def stop(given: Given, backfill_id: Which) -> ExitCode:
    """Ask a backfill to stop; the study that is being brought in comes whole."""
    from dicomnode.processes import backfill as process

    with process.opened(given.load()) as worklist:
        asked = worklist.backfills.stop(backfill_id, datetime.now(UTC), operator())
    typer.echo("asked to stop" if asked else "it does not run; nothing to stop")
    return ExitCode.OK


def pause(given: Given, backfill_id: Which) -> ExitCode:
    """Let a backfill ask for nothing more until `backfill go-on`."""
    from dicomnode.processes import backfill as process

    with process.opened(given.load()) as worklist:
        done = worklist.backfills.pause(backfill_id, datetime.now(UTC), operator())
    typer.echo("paused" if done else "it is paused, or has ended; nothing to do")
    return ExitCode.OK


def go_on(given: Given, backfill_id: Which) -> ExitCode:
    """End the pause of a backfill; one that has ended needs `backfill --resume`."""
    from dicomnode.processes import backfill as process

    with process.opened(given.load()) as worklist:
        done = worklist.backfills.go_on(backfill_id, datetime.now(UTC), operator())
    typer.echo("goes on" if done else "it is not paused; nothing to do")
    return ExitCode.OK
