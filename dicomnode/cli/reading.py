"""The commands that look into the worklist: list and show."""

# ruff: noqa: PLC0415 - SQLAlchemy only where it is needed

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dicomnode.cli import filing, lines, listing, printing, rendering
from dicomnode.cli.choosing import job_of
from dicomnode.cli.command import AsJson, Given, command
from dicomnode.cli.embedded import EmbeddedViews
from dicomnode.domain.delivery import DeliveryState
from dicomnode.domain.job import JobState
from dicomnode.domain.study import StudyState
from dicomnode.errors import UnknownStudy
from dicomnode.health.moments import since as parsed_since
from dicomnode.health.problems import remedy_of
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config

_LIST_COLUMNS = (
    "received_at",
    "calling_ae_title",
    "modality",
    "n_instances",
    "study_state",
    "pipeline",
    "job_state",
    "outcome",
    "reason",
    "study_instance_uid",
    "job_id",
)
_DELIVERY_COLUMNS = (
    "destination",
    "result_kind",
    "state",
    "attempts",
    "next_attempt_at",
    "error",
    "sop_instance_uid",
)

Record = dict[str, Any]


def _moment(text: str) -> datetime:
    try:
        return parsed_since(text, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _state(text: str) -> str:
    word = text.strip().upper().replace("-", "_")
    known = [str(one) for one in (*StudyState, *JobState, *DeliveryState)]
    if word not in known:
        near = get_close_matches(word, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
        message = f"no state {text!r}; {hint}"
        raise typer.BadParameter(message)
    return word


Since = Annotated[
    datetime | None,
    typer.Option(
        "--since",
        metavar="TIME",
        parser=_moment,
        help="10m, 1h, 2d, today, or an ISO 8601 time.",
    ),
]
State = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="STATE",
        parser=_state,
        help="Only this state of a study (receiving, complete, routed, not-routed) or "
        "job (scheduled, in-progress, completed, failed, canceled).",
    ),
]
Ae = Annotated[
    str | None, typer.Option("--ae", metavar="AE", help="Only this calling AE title.")
]
Limit = Annotated[int, typer.Option("-n", min=1, help="At most so many.")]
Report = Annotated[
    bool, typer.Option("--report", help="Render its report as one HTML page.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the page there, not to stdout."),
]
Files = Annotated[
    bool,
    typer.Option(
        "--files",
        help="Also its files: where they lie, their sizes, and whether their digests "
        "are those of the worklist. Reads them all.",
    ),
]
Findings = Annotated[
    bool,
    typer.Option(
        "--findings",
        help="What its report concludes, with the slices of a series that drove it.",
    ),
]
Events = Annotated[
    bool, typer.Option("--events/--no-events", help="Its events, the timeline.")
]
JobOrStudy = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="A job id, whole or as tail prints it, or a Study Instance UID.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register list and show."""
    command(app, "list")(list_)
    command(app, "show")(show)


@contextmanager
def opened_views(config: Config) -> Iterator[Views]:
    """The read-only views; raises WorklistError when there is no database."""
    with closing(_open(config.worklist_url)) as views:
        yield views


def _open(url: str) -> Views:
    scheme, _, path = url.partition(":///")
    if scheme.startswith("sqlite"):
        return EmbeddedViews(Path(path.partition("?")[0]))
    from dicomnode.worklist import open_views

    return open_views(url)


def list_(
    given: Given,
    since: Since = None,
    state: State = None,
    ae: Ae = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List studies and their jobs, the newest first."""
    with opened_views(given.load()) as views:
        rows = views.worklist(since, state, ae, limit)
    if as_json:
        for row in rows:
            printing.as_json(row)
        return
    if printing.is_terminal():
        listing.show(rows, datetime.now(UTC), printing.width())
        return
    shown = [
        {
            **row,
            "received_at": printing.to_seconds(row["received_at"]),
            "reason": row["error"] or row["reason"],
        }
        for row in rows
    ]
    printing.rows("worklist", _LIST_COLUMNS, shown)


@dataclass(frozen=True, slots=True)
class _Parts:
    """What is shown beside the jobs and deliveries."""

    files: bool
    events: bool
    findings: bool


def show(  # noqa: PLR0913 - a command has as many parameters as options
    given: Given,
    job: JobOrStudy,
    *,
    report: Report = False,
    out: Out = None,
    files: Files = False,
    events: Events = True,
    findings: Findings = False,
    as_json: AsJson = False,
) -> None:
    """Show all about a job or a study: where it stands, why, and what to do."""
    if out is not None and not report:
        raise typer.BadParameter("goes with --report", param_hint="--out")
    config = given.load()
    with opened_views(config) as views:
        rows = job_of(views, job) or views.study(job)
        if not rows:
            message = f"no job or study {job}; `dicomnode list` shows them"
            raise UnknownStudy(message)
        if report:
            rendering.report(config, rows, out)
            _audit_shown(config, views, rows[0]["study_instance_uid"], out)
        else:
            parts = _Parts(files, events, findings)
            _show(config, views, rows, parts, as_json=as_json)
            if findings:
                _audit_shown(config, views, rows[0]["study_instance_uid"], None)


def _audit_shown(
    config: Config, views: Views, study_instance_uid: str, out: Path | None
) -> None:
    from dicomnode.processes.auditing import audited_command

    with audited_command("show", config) as audit:
        audit.study_shown(views, study_instance_uid)
        if out is not None:
            audit.exported(views, study_instance_uid, out.resolve().as_uri())


def _show(
    config: Config, views: Views, rows: list[Record], parts: _Parts, *, as_json: bool
) -> None:
    study = rows[0]["study_instance_uid"]
    sent = [one for row in rows for one in _deliveries(views, row)]
    files = filing.files(config, views, rows) if parts.files else ()
    events = views.events_of(study) if parts.events else []
    said = rendering.conclusions(config, rows) if parts.findings else []
    if as_json:
        _print_json(job=rows, delivery=sent, file=files, findings=said, event=events)
        return
    for row in rows:
        _print_row(row)
    if sent:
        printing.rows("deliveries", _DELIVERY_COLUMNS, sent)
    if parts.files:
        printing.rows("files", filing.COLUMNS, files)
    for one in said:
        typer.echo(f"findings of {one['job_id']}\n{one['conclusion']}\n")
    now = datetime.now(UTC)
    for event in events:
        text = lines.line(event, rows[0], now, coloured=printing.is_coloured())
        typer.echo(lines.fitted(text))


def _print_json(**named: Iterable[Record]) -> None:
    for name, records in named.items():
        for record in records:
            printing.as_json({"record": name, **record})


def _deliveries(views: Views, row: Record) -> list[Record]:
    return views.deliveries(row["job_id"]) if row["job_id"] else []


def _print_row(row: Record) -> None:
    for name, value in row.items():
        text = printing.text_of(value)
        if text:
            typer.echo(f"{name:<20} {text}")
    remedy = remedy_of(row)
    if remedy:
        typer.echo(f"{'remedy':<20} {remedy}")
    typer.echo()
