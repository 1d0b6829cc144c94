"""The commands that run a role of the node until they are asked to stop."""

# ruff: noqa: PLC0415 - a role imports what no other command needs

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from dicomnode.cli.command import ExitCode, Given, command

if TYPE_CHECKING:
    from dicomnode.config import Config


def add_to(app: typer.Typer) -> None:
    """Register run, receive, work, keep, deliver and web."""
    command(app, "run")(run)
    command(app, "receive")(receive)
    command(app, "work")(work)
    command(app, "keep")(keep)
    command(app, "deliver")(deliver)
    command(app, "web")(web)


def run(given: Given) -> ExitCode:
    """Run every role, supervised, until SIGTERM or Ctrl-C."""
    from dicomnode.processes import run as role

    return ExitCode(role.main(_loaded(given)))


def receive(given: Given) -> ExitCode:
    """Receive studies by C-STORE, keep them and record them."""
    from dicomnode.processes import sharing

    config = _loaded(given)
    if sharing.leads(config):
        from dicomnode.processes import receivers

        return ExitCode(receivers.main(config))
    from dicomnode.processes import receive as role

    return ExitCode(role.main(config))


def work(given: Given) -> ExitCode:
    """Analyse the jobs of the worklist with the bundles of the pipelines."""
    from dicomnode.processes import work as role

    return ExitCode(role.main(_loaded(given)))


def keep(given: Given) -> ExitCode:
    """Complete and route studies, give back lost jobs, apply the retention."""
    from dicomnode.processes import keep as role

    return ExitCode(role.main(_loaded(given)))


def deliver(given: Given) -> ExitCode:
    """Send results to their destinations."""
    from dicomnode.processes import deliver as role

    return ExitCode(role.main(_loaded(given)))


def web(given: Given) -> ExitCode:
    """Serve the pages, the API and the metrics."""
    from dicomnode.processes import web as role

    return ExitCode(role.main(_loaded(given)))


def _loaded(given: Given) -> Config:
    # Processes that it starts read the configuration themselves, and a reload does so
    # again: what --set gave must hold there too.
    os.environ.update(given.environment())
    return given.load()
