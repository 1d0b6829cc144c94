"""The command `top`: the node as it works, on the whole screen."""

# ruff: noqa: PLC0415 - rich is needed by no other command of a moment

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated

import typer

from dicomnode.cli.command import ExitCode, Given, command
from dicomnode.cli.reading import opened_views

Once = Annotated[bool, typer.Option("--once", help="Print one frame and end.")]


def add_to(app: typer.Typer) -> None:
    """Register top."""
    command(app, "top")(top)


def top(given: Given, once: Once = False) -> ExitCode:
    """Show the node as it works, on the whole screen; without a terminal, once.

    Keys: q quits, p pauses, the arrows scroll the failures.
    """
    from dicomnode.cli import screen

    config = given.load()
    with opened_views(config) as views:
        watch = screen.Watch(views, config)
        if once or not (sys.stdin.isatty() and sys.stdout.isatty()):
            screen.print_one(watch)
        else:
            # Ctrl-C is as good an end as q.
            with suppress(KeyboardInterrupt):
                screen.live(watch)
    return ExitCode.OK
