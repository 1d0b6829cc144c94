"""The command `retry`: failed jobs again, undelivered results again or elsewhere."""

# ruff: noqa: PLC0415 - SQLAlchemy only where it is needed

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli.choosing import (
    Desk,
    DryRun,
    Jobs,
    Yes,
    audited_desk,
    confirmed,
    is_study,
    operator,
    whole_ids,
)
from dicomnode.cli.command import AsJson, ExitCode, Given
from dicomnode.cli.reading import opened_views
from dicomnode.errors import ConfigError
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config
    from dicomnode.domain.desk import Redirect
    from dicomnode.worklist import Worklist

_DEAD = ("FAILED", "REJECTED")

AllFailed = Annotated[
    bool, typer.Option("--all-failed", help="Every failed job and delivery.")
]
Failed = Annotated[
    str,
    typer.Option(
        "--state", metavar="FAILED", help="The same as --all-failed; no other state."
    ),
]
WithError = Annotated[
    str,
    typer.Option(
        "--error", metavar="TEXT", help="Of all failed: those whose error has TEXT."
    ),
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="DEST",
        help="Send to this destination what it refused, and what waits for one that "
        "is no longer configured; one that was not reached is tried at once.",
    ),
]
From = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="DEST",
        help="With --to: everything unsent of this destination instead.",
    ),
]


def retry(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    jobs: Jobs = None,
    *,
    all_failed: AllFailed = False,
    state: Failed = "",
    error: WithError = "",
    to: To = "",
    source: From = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Run failed or canceled jobs again, revive or redirect undelivered results.

    A Study Instance UID sends a study that no rule wanted through the rules again.
    """
    config = given.load()
    if jobs:
        with opened_views(config) as views:
            jobs = whole_ids(views, jobs)
    if to or source:
        redirect = _redirect(config, jobs or [], to, source)
        return _send_on(config, redirect, yes=yes, dry_run=dry_run)
    if state.upper() not in ("", "FAILED"):
        message = f"only what is FAILED is retried, not {state!r}; `dicomnode resend`"
        raise typer.BadParameter(message, param_hint="--state")
    all_failed = bool(all_failed or state or error)
    if bool(jobs) == all_failed:
        message = (
            "name the jobs to retry, or --all-failed, --error, --to; `dicomnode list` "
            "shows them"
        )
        raise typer.BadParameter(message, param_hint="JOB")
    with opened_views(config) as views:
        chosen = list(jobs or _failed(views, error))
    if all_failed and not confirmed(
        len(chosen), "failed job(s)", yes=yes, dry_run=dry_run
    ):
        return ExitCode.OK
    with audited_desk(config, "retry") as desk:
        return desk.each(chosen, _retried, as_json=as_json)


def _retried(worklist: Worklist, target: str) -> str:
    """Both kinds of failure are of one job: revive whatever has failed of it."""
    now, by = datetime.now(UTC), operator()
    if is_study(target):
        worklist.desk.reroute(target, now, by)
        return "COMPLETE"
    revived = worklist.desk.retry_deliveries(target, now, by)
    if revived:
        return f"{revived} delivery(s) PENDING"
    worklist.desk.retry_job(target, now, by)
    return "SCHEDULED"


def _failed(views: Views, error: str) -> Sequence[str]:
    dead = (row for state in _DEAD for row in views.deliveries(state=state))
    rows = (*views.worklist(state="FAILED"), *dead)
    found = [row["job_id"] for row in rows if error.lower() in row["error"].lower()]
    return list(dict.fromkeys(found))


def _redirect(config: Config, jobs: list[str], to: str, source: str) -> Redirect:
    from dicomnode.domain.desk import Redirect

    known = tuple(one.name for one in config.result_destinations)
    if to not in known:
        words = ", ".join(known) or "none is configured"
        message = f"no destination {to!r} ({words}); name one of them with --to"
        raise ConfigError(message)
    return Redirect(to, known, source, tuple(jobs))


def _try_now(desk: Desk, to: str, now: datetime, *, dry_run: bool) -> bool:
    """End the wait for a destination that was not reached; False if there is none."""
    worklist = desk.worklist
    away = {row["destination"]: row["n_waiting"] for row in worklist.views.absences()}
    if to not in away:
        return False
    if dry_run:
        typer.echo(f"{to}, for which {away[to]} result(s) wait, would be tried at once")
    elif worklist.absences.try_now(to, now, operator()):
        desk.acted(f"the wait for {to}")
        typer.echo(f"{to} is tried at once; {away[to]} result(s) wait for it")
    return True


def _send_on(
    config: Config, redirect: Redirect, *, yes: bool, dry_run: bool
) -> ExitCode:
    now = datetime.now(UTC)
    with audited_desk(config, "retry") as desk:
        is_tried = _try_now(desk, redirect.to, now, dry_run=dry_run)
        redirects = desk.worklist.redirects
        counts = redirects.count(redirect, now)
        for destination, count in counts.items():
            typer.echo(f"{count} for {destination} now", err=True)
        if is_tried and not sum(counts.values()):
            return ExitCode.OK
        what = f"delivery(s) to be sent to {redirect.to}"
        if not confirmed(sum(counts.values()), what, yes=yes, dry_run=dry_run):
            return ExitCode.OK
        moved = redirects.move(redirect, now, operator())
        desk.acted(f"{moved} delivery(s) to {redirect.to}")
    typer.echo(f"{moved} delivery(s) go to {redirect.to}")
    return ExitCode.OK
