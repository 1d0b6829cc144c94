"""What an admin does to jobs and studies: retry, cancel, hold, release, resend, purge.

Each act leaves an event with the user who did it.
"""

# ruff: noqa: PLC0415 - SQLAlchemy only where it is needed

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.choosing import (
    DryRun,
    Filter,
    Jobs,
    OnlyPipeline,
    Yes,
    confirmed,
    each,
    is_study,
    one_of,
    operator,
)
from dicomnode.cli.command import AsJson, ExitCode, Given, command
from dicomnode.cli.reading import Ae, Since, opened_views
from dicomnode.errors import ConfigError, UnknownStudy
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config
    from dicomnode.worklist import Worklist

_OPEN = ("SCHEDULED", "IN_PROGRESS")
_DEAD = ("FAILED", "REJECTED")

AllFailed = Annotated[
    bool, typer.Option("--all-failed", help="Every failed job and delivery.")
]
To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="DEST",
        help="Send to this destination what it refused, and what waits for one that "
        "is no longer configured.",
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
OnlyTo = Annotated[
    str, typer.Option("--to", metavar="DEST", help="Only to this destination.")
]
Study = Annotated[
    str, typer.Option("--study", metavar="UID", help="Its Study Instance UID.")
]
Why = Annotated[
    str,
    typer.Option(
        "--reason", metavar="TEXT", help="Why; kept in the event, so no names in it."
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register retry, cancel, hold, release, resend and purge."""
    command(app, "retry")(retry)
    command(app, "cancel")(cancel)
    command(app, "hold")(hold)
    command(app, "release")(release)
    command(app, "resend")(resend)
    command(app, "purge")(purge)


def retry(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    jobs: Jobs = None,
    *,
    all_failed: AllFailed = False,
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
    if to or source:
        return _redirect(config, jobs or [], to, source, yes=yes, dry_run=dry_run)
    if bool(jobs) == all_failed:
        message = (
            "name the jobs to retry, or --all-failed, or --to; `dicomnode list` "
            "shows them"
        )
        raise typer.BadParameter(message, param_hint="JOB")
    with opened_views(config) as views:
        chosen = list(jobs or _failed(views))
    if all_failed and not confirmed(
        len(chosen), "failed job(s)", yes=yes, dry_run=dry_run
    ):
        return ExitCode.OK
    with _opened(config) as worklist:
        return each(chosen, lambda one: _retried(worklist, one), as_json=as_json)


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


def _failed(views: Views) -> Sequence[str]:
    jobs = [row["job_id"] for row in views.worklist(state="FAILED")]
    dead = [row["job_id"] for row in views.deliveries() if row["state"] in _DEAD]
    return list(dict.fromkeys([*jobs, *dead]))


def _redirect(
    config: Config, jobs: list[str], to: str, source: str, *, yes: bool, dry_run: bool
) -> ExitCode:
    from dicomnode.domain.desk import Redirect

    known = tuple(one.name for one in config.destination)
    if to not in known:
        words = ", ".join(known) or "none is configured"
        message = f"no destination {to!r} ({words}); name one of them with --to"
        raise ConfigError(message)
    redirect = Redirect(to, known, source, tuple(jobs))
    now = datetime.now(UTC)
    with _opened(config) as worklist:
        counts = worklist.redirects.count(redirect, now)
        for destination, count in counts.items():
            typer.echo(f"{count} for {destination} now", err=True)
        what = f"delivery(s) to be sent to {to}"
        if not confirmed(sum(counts.values()), what, yes=yes, dry_run=dry_run):
            return ExitCode.OK
        moved = worklist.redirects.move(redirect, now, operator())
    typer.echo(f"{moved} delivery(s) go to {to}")
    return ExitCode.OK


def cancel(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    jobs: Jobs = None,
    *,
    pipeline: OnlyPipeline = "",
    ae: Ae = None,
    since: Since = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Cancel jobs that wait for a worker; `retry` runs them after all."""
    config, chosen = given.load(), Filter(pipeline, ae, since)
    one_of(jobs, chosen)
    with opened_views(config) as views:
        ids = _jobs_of(views, jobs or (), chosen, ("SCHEDULED",))
    if chosen and not confirmed(len(ids), "job(s)", yes=yes, dry_run=dry_run):
        return ExitCode.OK
    with _opened(config) as worklist:

        def act(job_id: str) -> str:
            worklist.desk.cancel_job(job_id, datetime.now(UTC), operator())
            return "CANCELED"

        return each(ids, act, as_json=as_json)


def hold(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    jobs: Jobs = None,
    *,
    pipeline: OnlyPipeline = "",
    ae: Ae = None,
    since: Since = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Keep studies from being routed and jobs from being claimed, until `release`."""
    config, chosen = given.load(), Filter(pipeline, ae, since)
    one_of(jobs, chosen)
    with opened_views(config) as views:
        ids = list(jobs or ()) or _jobs_of(views, (), chosen, _OPEN)
    if chosen and not confirmed(len(ids), "job(s)", yes=yes, dry_run=dry_run):
        return ExitCode.OK
    with _opened(config) as worklist:
        holds = worklist.holds

        def act(target: str) -> str:
            one = holds.hold_study if is_study(target) else holds.hold_job
            done = one(target, datetime.now(UTC), operator())
            return "held" if done else "was held already"

        return each(ids, act, as_json=as_json)


def release(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    jobs: Jobs = None,
    *,
    pipeline: OnlyPipeline = "",
    ae: Ae = None,
    since: Since = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Let held studies and jobs go on."""
    config, chosen = given.load(), Filter(pipeline, ae, since)
    one_of(jobs, chosen)
    with opened_views(config) as views:
        rows = chosen.rows(views, _OPEN) if chosen else []
    ids = list(jobs or [row["job_id"] for row in rows if row["held_at"]])
    if chosen and not confirmed(len(ids), "held job(s)", yes=yes, dry_run=dry_run):
        return ExitCode.OK
    with _opened(config) as worklist:
        holds = worklist.holds

        def act(target: str) -> str:
            one = holds.release_study if is_study(target) else holds.release_job
            done = one(target, datetime.now(UTC), operator())
            return "released" if done else "was not held"

        return each(ids, act, as_json=as_json)


def resend(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    jobs: Jobs = None,
    *,
    to: OnlyTo = "",
    pipeline: OnlyPipeline = "",
    ae: Ae = None,
    since: Since = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Send results again that were sent: the same objects, under the same UIDs."""
    config, chosen = given.load(), Filter(pipeline, ae, since)
    one_of(jobs, chosen)
    with opened_views(config) as views:
        ids = _jobs_of(views, jobs or (), chosen, ("COMPLETED", "FAILED"))
    if chosen and not confirmed(len(ids), "job(s)", yes=yes, dry_run=dry_run):
        return ExitCode.OK
    with _opened(config) as worklist:

        def act(job_id: str) -> str:
            now = datetime.now(UTC)
            number = worklist.desk.resend_deliveries(job_id, now, operator(), to)
            return f"{number} delivery(s) PENDING"

        return each(ids, act, as_json=as_json)


def _jobs_of(
    views: Views, targets: Sequence[str], chosen: Filter, states: Sequence[str]
) -> list[str]:
    """Ids of the jobs that are named, of the studies that are, or that are chosen."""
    if not targets:
        return [row["job_id"] for row in chosen.rows(views, states)]
    ids: list[str] = []
    for target in targets:
        ids += _of_study(views, target, states) if is_study(target) else [target]
    return ids


def _of_study(views: Views, study: str, states: Sequence[str]) -> list[str]:
    rows = [row for row in views.worklist() if row["study_instance_uid"] == study]
    if not rows:
        raise UnknownStudy(f"no study {study}; `dicomnode list` shows them")
    return [row["job_id"] for row in rows if row["job_state"] in states]


def purge(
    given: Given,
    study: Study,
    reason: Why,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> ExitCode:
    """Remove all files and rows of one study for good; who, when and why stay.

    What destinations have got stays there: remove it in the PACS.
    """
    config = given.load()
    with opened_views(config) as views:
        rows = [row for row in views.worklist() if row["study_instance_uid"] == study]
    if not rows:
        raise UnknownStudy(f"no study {study}; `dicomnode list` shows them")
    what = f"instance(s) of study {study}, with all results and rows"
    count = max(row["n_instances"] for row in rows)
    if not confirmed(count, what, yes=yes, dry_run=dry_run):
        return ExitCode.OK
    return _purge(config, study, reason, as_json=as_json)


def _purge(config: Config, study: str, reason: str, *, as_json: bool) -> ExitCode:
    from dicomnode.housekeeping.purging import Purger
    from dicomnode.processes import storing

    with _opened(config) as worklist:
        purger = Purger(
            worklist.purge,
            storing.open_store(config),
            storing.open_results_store(config),
        )
        n_files = purger.run(study, datetime.now(UTC), operator(), reason)
        worklist.upkeep.checkpoint()
    if as_json:
        printing.as_json({"study_instance_uid": study, "n_files": n_files})
    else:
        typer.echo(f"{study} purged: {n_files} file(s)")
    return ExitCode.OK


def _opened(config: Config) -> AbstractContextManager[Worklist]:
    from dicomnode.processes import wiring

    return wiring.opened_worklist(config, checked=False)
