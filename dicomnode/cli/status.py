"""The command `status`: one screen that says whether the node is well."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from dicomnode.cli import printing
from dicomnode.cli.command import AsJson, ExitCode, Given, command
from dicomnode.cli.reading import opened_views
from dicomnode.errors import WorklistError
from dicomnode.health import hosts
from dicomnode.health.chores import told
from dicomnode.health.drift import REMEDY, line_of
from dicomnode.health.looking import look, surroundings
from dicomnode.health.moments import age
from dicomnode.health.problems import Disk, Problem, Row, Snapshot, problems
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config

RESEARCH_USE = "Research use only. Not a medical device."
_GIGABYTE = 1e9


def add_to(app: typer.Typer) -> None:
    """Register status."""
    command(app, "status")(status)


def status(given: Given, as_json: AsJson = False) -> ExitCode:
    """Say whether the node is well, and what to do if not; 3 if it is not."""
    config = given.load()
    try:
        with opened_views(config) as views:
            snapshot = _snapshot(views, config)
    except WorklistError as error:
        _print_unreadable(str(error), as_json=as_json)
        return ExitCode.UNHEALTHY
    found = problems(snapshot)
    if as_json:
        printing.as_json(_record(snapshot, found))
    else:
        _print(snapshot, found)
    return ExitCode.UNHEALTHY if found else ExitCode.OK


def _snapshot(views: Views, config: Config) -> Snapshot:
    return look(views, datetime.now(UTC), surroundings(config))


def _record(snapshot: Snapshot, found: list[Problem]) -> dict[str, Any]:
    return {
        "healthy": not found,
        "at": printing.text_of(snapshot.now),
        "problems": [asdict(problem) for problem in found],
        "counts": snapshot.counts,
        "oldest_waiting": snapshot.oldest,
        "workers": [{**row, "live": snapshot.live(row)} for row in snapshot.workers],
        "late_deliveries": list(snapshot.late),
        "refused_associations": list(snapshot.refused),
        "drift_alarms": list(snapshot.drift),
        "absences": list(snapshot.absences),
        "stranded_deliveries": snapshot.stranded,
        "pauses": list(snapshot.pauses),
        "chores": [told(row, snapshot.now) for row in snapshot.chores],
        "reconciled": snapshot.reconciled,
        "disk": asdict(snapshot.disk) if snapshot.disk else None,
        "quarantine": asdict(snapshot.quarantine),
        "spool_files": snapshot.spool.n_files if snapshot.spool else None,
        "spools": list(snapshot.spools),
        "hosts": [
            hosts.told(one) for one in hosts.hosted_roles(snapshot.roles, snapshot.now)
        ],
        "notice": RESEARCH_USE,
    }


def _print_unreadable(message: str, *, as_json: bool) -> None:
    if as_json:
        what, _, remedy = message.rpartition("; ")
        problem = asdict(Problem(what, remedy))
        printing.as_json({"healthy": False, "problems": [problem]})
    else:
        typer.echo(f"unhealthy: {message}")


def _print(snapshot: Snapshot, found: list[Problem]) -> None:
    typer.echo(f"{'unhealthy' if found else 'healthy'}    {RESEARCH_USE}")
    for problem in found:
        printing.line(f"! {problem.what}; {problem.remedy}")
        for example in problem.examples:
            typer.echo(f"    {printing.text_of(example)}")
    for name, counts in snapshot.counts.items():
        states = "  ".join(f"{state} {number}" for state, number in counts.items())
        typer.echo(f"{name:<10} {states}")
    _print_waiting(snapshot)
    _print_late(snapshot)
    _print_hosts(snapshot)
    _print_workers(snapshot)
    _print_drift(snapshot)
    _print_disk(snapshot.disk)
    if snapshot.quarantine.n_files:
        typer.echo(f"{'set aside':<10} {snapshot.quarantine}")
    _print_spool(snapshot)
    _print_pauses(snapshot)
    _print_reconciled(snapshot)
    _print_refused(snapshot)


def _print_refused(snapshot: Snapshot) -> None:
    for row in snapshot.refused:
        at = age(row["at"], snapshot.now)
        who = f"{row['calling_ae_title']} from {row['address']}"
        why = printing.text_of(row["reason"])
        printing.line(f"{'refused':<10} {who}, {at} ago: {why}")
        for one in str(row["remedy"]).splitlines():
            printing.line(f"{'':<10}   {one}")
    if any("[" in str(row["remedy"]) for row in snapshot.refused):
        typer.echo(f"{'':<10} lines for config.toml; then `dicomnode reload`")


def _print_waiting(snapshot: Snapshot) -> None:
    oldest = snapshot.oldest
    if oldest is not None:
        state = oldest["job_state"] or oldest["study_state"]
        since = age(oldest["received_at"], snapshot.now)
        uid = oldest["study_instance_uid"]
        typer.echo(f"{'oldest':<10} {uid} {state}, received {since} ago")


def _print_late(snapshot: Snapshot) -> None:
    for row in snapshot.late:
        why = printing.text_of(row["error"])
        typer.echo(
            f"{'late':<10} {row['n_results']} result(s) wait for {row['destination']}, "
            f"next try {row['next_attempt_at']}: {why}"
        )


def _print_hosts(snapshot: Snapshot) -> None:
    if not snapshot.roles:
        typer.echo(f"{'host':<10} none: no role runs; `dicomnode run` starts them")
    for host, words in hosts.hosts_of(snapshot.roles, snapshot.now):
        typer.echo(f"{'host':<10} {printing.text_of(host)}: {words}")


def _print_workers(snapshot: Snapshot) -> None:
    if not snapshot.workers:
        typer.echo(f"{'worker':<10} none yet; jobs wait until one is ready")
    for row in snapshot.shown_workers:
        heard = f"heard of {age(row['heartbeat_at'], snapshot.now)} ago"
        state = snapshot.state_of(row)
        typer.echo(
            f"{'worker':<10} {row['worker_id']} {row['device']} {state}, {heard},"
            f" {row['jobs_per_hour']:.0f} jobs an hour"
        )
        if how := _how_it_works(row):
            typer.echo(f"{'':<10} {how}")
    _print_queue(snapshot)


def _how_it_works(row: Row) -> str:
    """The bundles with their arithmetic, and what it took to have them warm."""
    warm = row["warm_seconds"]
    took = "" if warm is None else f"warm after {warm:.1f} s"
    bundles = printing.text_of(row["bundle"]).replace(",", ", ")
    return ", ".join(one for one in (bundles, took) if one)


def _print_queue(snapshot: Snapshot) -> None:
    since = snapshot.workers[0]["queued_since"] if snapshot.workers else None
    if since:
        typer.echo(f"{'queue':<10} the oldest job waits {age(since, snapshot.now)}")


def _print_drift(snapshot: Snapshot) -> None:
    for row in snapshot.drift:
        typer.echo(f"{'drift':<10} {printing.text_of(line_of(row))}")
    if snapshot.drift:
        typer.echo(f"{'':<10} {REMEDY}")


def _print_disk(disk: Disk | None) -> None:
    if disk is not None:
        size = f"{disk.total_bytes / _GIGABYTE:.0f} GB"
        limit = f"studies are refused from {disk.limit_percent:g} %"
        typer.echo(f"{'disk':<10} {disk.used_percent:.0f} % of {size} used, {limit}")


def _print_spool(snapshot: Snapshot) -> None:
    if snapshot.spool is not None:
        n_files = snapshot.spool.n_files
        typer.echo(f"{'spool':<10} {n_files} file(s) wait for the object store")


def _print_pauses(snapshot: Snapshot) -> None:
    for row in snapshot.pauses:
        what = row["pipeline"] or f"all {row['service']}"
        since = age(row["paused_at"], snapshot.now)
        detail = printing.text_of(row["detail"])
        typer.echo(f"{'paused':<10} {what}, {since} ago {detail}; `dicomnode resume`")


def _print_reconciled(snapshot: Snapshot) -> None:
    outcome = snapshot.reconciled
    if outcome is not None:
        word = "balanced" if outcome["balanced"] else "not balanced"
        ago = age(outcome["finished_at"], snapshot.now)
        counts = f"{outcome['n_found']} found, {outcome['n_repaired']} repaired"
        typer.echo(f"{'reconcile':<10} {word} {ago} ago: {counts}")
