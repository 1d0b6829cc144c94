"""The commands `alert test` and `alert list`: does it reach us, and what stands now."""

# ruff: noqa: PLC0415 - SQLAlchemy and mail only where they are needed

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import typer

from dicomnode.cli import printing
from dicomnode.cli.command import AsJson, ExitCode, Given, command
from dicomnode.cli.reading import opened_views
from dicomnode.errors import AlertError, ConfigError


def add_to(app: typer.Typer) -> None:
    """Register alert."""
    of_alert = typer.Typer(help="Who is told when something is wrong ([alert]).")
    command(of_alert, "test")(alert_test)
    command(of_alert, "list")(alert_list)
    app.add_typer(of_alert, name="alert")


def alert_test(given: Given, as_json: AsJson = False) -> ExitCode:
    """Send a test by each channel of [alert]; 1 if one fails."""
    from dicomnode.alerting.message import trial_digest
    from dicomnode.processes import alerts

    channels = alerts.channels(given.load())
    if not channels:
        message = "nobody is told of alarms; set alert.mail.host or alert.webhook.url"
        raise ConfigError(message)
    code = ExitCode.OK
    for channel in channels:
        error = ""
        try:
            channel.send(trial_digest(), datetime.now(UTC))
        except AlertError as failure:
            error, code = str(failure), ExitCode.ERROR
        if as_json:
            printing.as_json({"channel": channel.name, "error": error})
        else:
            printing.line(f"{channel.name:<10} {error or 'sent'}")
    return code


def alert_list(given: Given, as_json: AsJson = False) -> None:
    """Print the alarms of the moment, each with its remedy."""
    from dicomnode.processes import alerts

    config = given.load()
    with opened_views(config) as views:
        found = alerts.looker(config, views)()
    for one in found:
        if as_json:
            printing.as_json(asdict(one))
            continue
        printing.line(f"{one.what}; {one.remedy}")
        for job in one.jobs:
            printing.line(f"    job {job}")
    if not found and not as_json:
        typer.echo("no alarm")
