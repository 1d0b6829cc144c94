"""One frame of `top`: a state is a word first, and a colour second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dicomnode.cli import printing
from dicomnode.cli.lines import SHORT
from dicomnode.health.activity import Activity
from dicomnode.health.moments import age
from dicomnode.health.problems import Problem, Snapshot, problems, remedy_of

RESEARCH_USE = "Research use only. Not a medical device. Not for diagnosis."
KEYS = "q quit   p pause   arrows scroll the failures"
_MOST_ROWS = 8
_MOST_PROBLEMS = 5
_BAD, _WORKS, _QUIET = "bold red", "cyan", "dim"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class View:
    """What whoever looks has chosen."""

    paused: bool = False
    first_failure: int = 0


@dataclass(frozen=True, slots=True)
class Shot:
    """What one frame shows: rows of the views, and rates.

    ``senders`` and ``callers`` are of the last hour; ``jobs`` those in hand by id.
    """

    ae_title: str
    snapshot: Snapshot
    senders: Sequence[Row]
    callers: Sequence[Row]
    unsent: Sequence[Row]
    failures: Sequence[Row]
    jobs: Mapping[str, Row]
    activity: Activity = field(default_factory=Activity)


def drawn(shot: Shot, view: View, width: int) -> RenderableType:
    """The frame for a terminal of ``width`` columns."""
    return Group(*_parts(shot, view, width))


def _parts(shot: Shot, view: View, width: int) -> Iterator[RenderableType]:
    found = problems(shot.snapshot)
    yield _head(shot, found, view)
    yield Text(RESEARCH_USE, style="bold")
    # Not at the end: a terminal of 24 rows may cut that off.
    yield Text(KEYS, style=_QUIET)
    for problem in found[:_MOST_PROBLEMS]:
        words = printing.text_of(f"! {problem.what}; {problem.remedy}")
        yield Text(words, style=_BAD, overflow="ellipsis", no_wrap=width < len(words))
    yield _queue(shot)
    yield _senders(shot)
    yield _workers(shot)
    yield _destinations(shot)
    yield _failures(shot, view)


def _head(shot: Shot, found: Sequence[Problem], view: View) -> Text:
    now = f"{shot.snapshot.now:%H:%M:%S}Z"
    well = Text("unhealthy", _BAD) if found else Text("healthy", "bold green")
    paused = Text("   PAUSED, p goes on", _WORKS) if view.paused else ""
    return Text.assemble(f"dicomnode {shot.ae_title}   {now}   ", well, paused)


def _queue(shot: Shot) -> Text:
    snapshot, now = shot.snapshot, shot.snapshot.now
    counts = {**snapshot.counts.get("study", {}), **snapshot.counts.get("job", {})}
    states = ("RECEIVING", "COMPLETE", "SCHEDULED", "IN_PROGRESS", "FAILED")
    words = "   ".join(f"{state} {counts.get(state, 0)}" for state in states)
    oldest = age(snapshot.oldest["received_at"], now) if snapshot.oldest else "-"
    since = snapshot.workers[0]["queued_since"] if snapshot.workers else None
    queued = age(since, now) if since else "-"
    speed = (
        f"{shot.activity.images_per_second(now):.1f} images/s   "
        f"{shot.activity.jobs_per_minute(now):.0f} jobs/min"
    )
    disk = ""
    if snapshot.disk is not None:
        limit = f"{snapshot.disk.limit_percent:g}"
        disk = f"   disk {snapshot.disk.used_percent:.0f} % (limit {limit})"
    return Text(f"{words}\noldest study {oldest}   oldest job {queued}   {speed}{disk}")


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 1)
    )
    for column in columns:
        table.add_column(column, overflow="fold", header_style=_QUIET)
    return table


def _senders(shot: Shot) -> Table:
    now = shot.snapshot.now
    table = _table(
        "Receiving, last hour",
        "sender",
        "images/s",
        "studies",
        "last study",
        "associations",
        "refused",
    )
    callers = {row["calling_ae_title"]: row for row in shot.callers}
    known = {row["calling_ae_title"]: row for row in shot.senders}
    for name in list(dict.fromkeys([*known, *callers]))[:_MOST_ROWS]:
        study, calls = known.get(name), callers.get(name)
        n_refused = calls["n_refused"] if calls else 0
        table.add_row(
            printing.text_of(name),
            f"{shot.activity.images_per_second(now, name):.1f}",
            str(study["n_studies"] if study else 0),
            f"{age(study['last_at'], now)} ago" if study else "",
            str(calls["n_accepted"] if calls else 0),
            Text(str(n_refused), _BAD if n_refused else ""),
        )
    return table


def _workers(shot: Shot) -> Table:
    snapshot = shot.snapshot
    columns = ("worker", "state", "heard of", "jobs/min", "warm after", "works on")
    table = _table("Workers", *columns)
    for row in snapshot.shown_workers[:_MOST_ROWS]:
        state = snapshot.state_of(row)
        style = _WORKS if state == "BUSY" else "" if state == "IDLE" else _BAD
        name = row["worker_id"]
        warm = row["warm_seconds"]
        table.add_row(
            name,
            Text(state, style),
            f"{age(row['heartbeat_at'], snapshot.now)} ago",
            f"{shot.activity.jobs_per_minute(snapshot.now, name):.0f}",
            "" if warm is None else f"{warm:.1f} s",
            _in_hand(shot, row["job_id"]),
        )
        table.add_row(Text(f"  {row['device']}", _QUIET), *[""] * 4, _runs(row))
    return table


def _runs(row: Row) -> Text:
    return Text(printing.text_of(row["bundle"]).replace(",", "\n"), _QUIET)


def _in_hand(shot: Shot, job_id: str | None) -> str:
    job = shot.jobs.get(job_id or "")
    if job is None:
        return f"#{job_id[:SHORT]}" if job_id else ""
    since = f" {age(job['started_at'], shot.snapshot.now)}" if job["started_at"] else ""
    return f"{job['pipeline']} #{job['job_id'][:SHORT]}{since}"


def _destinations(shot: Shot) -> Table:
    table = _table("Unsent", "destination", "state", "results", "next attempt", "why")
    for row in shot.unsent[:_MOST_ROWS]:
        waits = row["state"] == "PENDING"
        table.add_row(
            row["destination"],
            Text(row["state"], _WORKS if waits else _BAD),
            str(row["n_results"]),
            printing.to_seconds(row["next_attempt_at"]) if waits else "none",
            printing.text_of(row["error"]),
        )
    return table


def _failures(shot: Shot, view: View) -> Table:
    number = len(shot.failures)
    first = min(view.first_failure, max(0, number - 1))
    shown = shot.failures[first : first + _MOST_ROWS]
    span = f", {first + 1} to {first + len(shown)} of {number}" if shown else ": none"
    table = _table(f"Failed jobs{span}", "ended", "pipeline", "why, and what to do")
    for row in shown:
        ended = f"{age(row['finished_at'], shot.snapshot.now)} ago"
        why = printing.text_of(f"{row['error']}; {remedy_of(row)}")
        table.add_row(ended, row["pipeline"], why)
    return table
