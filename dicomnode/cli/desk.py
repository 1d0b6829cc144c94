"""What an admin does to jobs and studies: cancel, hold, release, resend, retry, purge.

Each act leaves an event with the user who did it, and an audit message.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomnode.cli.choosing import (
    DryRun,
    Filter,
    Jobs,
    OnlyPipeline,
    Yes,
    audited_desk,
    confirmed,
    is_study,
    one_of,
    operator,
    whole_ids,
)
from dicomnode.cli.command import AsJson, Body, ExitCode, Given, command
from dicomnode.cli.purging import purge
from dicomnode.cli.reading import Ae, Since, opened_views
from dicomnode.cli.retrying import retry
from dicomnode.errors import UnknownStudy
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.worklist import Worklist

_OPEN = ("SCHEDULED", "IN_PROGRESS")

OnlyTo = Annotated[
    str, typer.Option("--to", metavar="DEST", help="Only to this destination.")
]
Act = Callable[["Worklist", str], str]
"""Does it to one job or study; what has come of it, in words."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """An act on jobs that are named, or on all that a filter finds.

    ``verb``: the command; ``states``: of the jobs that a filter, or a named study,
    stands for; ``as_named``: a named study stands for itself; ``held_only``: of those
    that a filter finds.
    """

    verb: str
    act: Act
    states: Sequence[str]
    noun: str = "job(s)"
    as_named: bool = False
    held_only: bool = False


@dataclass(frozen=True, slots=True)
class Consent:
    """What was said about going on without being asked."""

    yes: bool
    dry_run: bool
    as_json: bool


def add_to(app: typer.Typer) -> None:
    """Register retry, cancel, hold, release, resend and purge."""
    command(app, "retry")(retry)
    command(app, "cancel")(_on_jobs("cancel", _cancel, ("SCHEDULED",)))
    command(app, "hold")(_on_jobs("hold", _hold, _OPEN, as_named=True))
    command(app, "release")(
        _on_jobs(
            "release",
            _release,
            _OPEN,
            noun="held job(s)",
            as_named=True,
            held_only=True,
        )
    )
    command(app, "resend")(resend)
    command(app, "purge")(purge)


def _on_jobs(verb: str, act: Act, states: Sequence[str], **how: Any) -> Body:
    """A command that does ``act``; its help is the docstring of the act."""
    bulk = Bulk(verb, act, states, **how)

    def run(  # noqa: PLR0913 - a command has as many parameters as options
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
        chosen = Filter(pipeline, ae, since)
        return _in_bulk(given, jobs, chosen, bulk, Consent(yes, dry_run, as_json))

    run.__doc__ = inspect.getdoc(act)
    return run


def _cancel(worklist: Worklist, job_id: str) -> str:
    """Cancel jobs that wait for a worker; `retry` runs them after all."""
    worklist.desk.cancel_job(job_id, datetime.now(UTC), operator())
    return "CANCELED"


def _hold(worklist: Worklist, target: str) -> str:
    """Keep studies from being routed and jobs from being claimed, until `release`."""
    holds = worklist.holds
    one = holds.hold_study if is_study(target) else holds.hold_job
    done = one(target, datetime.now(UTC), operator())
    return "held" if done else "was held already"


def _release(worklist: Worklist, target: str) -> str:
    """Let held studies and jobs go on."""
    holds = worklist.holds
    one = holds.release_study if is_study(target) else holds.release_job
    done = one(target, datetime.now(UTC), operator())
    return "released" if done else "was not held"


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

    def act(worklist: Worklist, job_id: str) -> str:
        now = datetime.now(UTC)
        number = worklist.desk.resend_deliveries(job_id, now, operator(), to)
        return f"{number} delivery(s) PENDING"

    bulk = Bulk("resend", act, ("COMPLETED", "FAILED"))
    chosen = Filter(pipeline, ae, since)
    return _in_bulk(given, jobs, chosen, bulk, Consent(yes, dry_run, as_json))


def _in_bulk(
    given: Given, jobs: list[str] | None, chosen: Filter, bulk: Bulk, consent: Consent
) -> ExitCode:
    config = given.load()
    one_of(jobs, chosen)
    with opened_views(config) as views:
        ids = _ids(views, whole_ids(views, jobs or ()), chosen, bulk)
    yes, dry_run = consent.yes, consent.dry_run
    if chosen and not confirmed(len(ids), bulk.noun, yes=yes, dry_run=dry_run):
        return ExitCode.OK
    with audited_desk(config, bulk.verb) as desk:
        return desk.each(ids, bulk.act, as_json=consent.as_json)


def _ids(
    views: Views, targets: Sequence[str], chosen: Filter, bulk: Bulk
) -> Sequence[str]:
    """What is named, the jobs of the studies that are, or the jobs that are chosen."""
    if not targets:
        found = chosen.rows(views, bulk.states)
        return [row["job_id"] for row in found if row["held_at"] or not bulk.held_only]
    if bulk.as_named:
        return targets
    ids: list[str] = []
    for target in targets:
        ids += _of_study(views, target, bulk) if is_study(target) else [target]
    return ids


def _of_study(views: Views, study: str, bulk: Bulk) -> list[str]:
    rows = [row for row in views.worklist() if row["study_instance_uid"] == study]
    if not rows:
        raise UnknownStudy(f"no study {study}; `dicomnode list` shows them")
    return [row["job_id"] for row in rows if row["job_state"] in bulk.states]
