"""The commands that stop a part of the running node: pause, resume, drain."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dicomnode.cli import printing
from dicomnode.cli.choosing import OnlyPipeline, Reason, audited_desk, operator
from dicomnode.cli.command import AsJson, ExitCode, Given, command
from dicomnode.cli.reading import opened_views
from dicomnode.domain.desk import Pause, Service
from dicomnode.errors import ConfigError
from dicomnode.views import Views

if TYPE_CHECKING:
    from dicomnode.config import Config

POLL_SECONDS = 0.5
_ALL = "everything"
_OPEN = {
    "study": ("RECEIVING", "COMPLETE"),
    "job": ("SCHEDULED", "IN_PROGRESS"),
    "delivery": ("PENDING",),
}

NoWait = Annotated[
    bool, typer.Option("--no-wait", help="Do not wait until everything has ended.")
]
Limit = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        help="Wait no longer; 3 if something is left. 0 waits for ever.",
    ),
]


def add_to(app: typer.Typer) -> None:
    """Register pause, resume and drain."""
    command(app, "pause")(pause)
    command(app, "resume")(resume)
    command(app, "drain")(drain)


def pause(given: Given, pipeline: OnlyPipeline = "", reason: Reason = "") -> None:
    """Let workers claim no more jobs, of any or of one pipeline, until `resume`.

    Studies are still received, completed and routed; what a worker has in hand ends.
    """
    config = given.load()
    known = [one.name for one in config.pipeline]
    if pipeline and pipeline not in known:
        words = ", ".join(known) or "none is configured"
        message = f"no pipeline {pipeline!r} ({words}); name one of them"
        raise ConfigError(message)
    wanted = Pause(Service.WORK, datetime.now(UTC), pipeline, reason)
    done = _stop(config, "pause", wanted)
    typer.echo(f"{pipeline or 'every pipeline'} {'paused' if done else 'was paused'}")


def resume(given: Given, pipeline: OnlyPipeline = "") -> None:
    """End a pause of one pipeline; without --pipeline every pause, and the drain."""
    with audited_desk(given.load(), "resume") as desk:
        number = desk.worklist.pauses.resume(datetime.now(UTC), pipeline, operator())
        desk.acted(pipeline or _ALL)
    typer.echo(f"{number} pause(s) ended" if number else "nothing was paused")


def drain(
    given: Given,
    no_wait: NoWait = False,
    timeout: Limit = 0,
    reason: Reason = "",
    as_json: AsJson = False,
) -> ExitCode:
    """Receive nothing more, and wait until all that is there is analysed and sent.

    C-STORE is answered with 0xA700, so senders keep their instances and try again.
    Before an upgrade, a move or the end of a node; `resume` takes it back.
    """
    config = given.load()
    _stop(config, "drain", Pause(Service.RECEIVE, datetime.now(UTC), "", reason))
    end = time.monotonic() + timeout
    with opened_views(config) as views:
        left = _left(views)
        while any(left.values()) and not no_wait:
            if timeout and time.monotonic() >= end:
                _print(left, as_json=as_json)
                return ExitCode.UNHEALTHY
            time.sleep(POLL_SECONDS)
            left = _left(views)
    _print(left, as_json=as_json)
    return ExitCode.OK


def _stop(config: Config, verb: str, wanted: Pause) -> bool:
    with audited_desk(config, verb) as desk:
        done = desk.worklist.pauses.pause(wanted, operator())
        desk.acted(wanted.pipeline or _ALL)
    return done


def _left(views: Views) -> dict[str, int]:
    """What has not ended yet: studies, jobs and deliveries."""
    counts = views.counts()
    return {
        name: sum(counts[name][state] for state in states)
        for name, states in _OPEN.items()
    }


def _print(left: dict[str, int], *, as_json: bool) -> None:
    drained = not any(left.values())
    if as_json:
        printing.as_json({"drained": drained, "left": left})
        return
    words = ", ".join(f"{number} {name}" for name, number in left.items() if number)
    typer.echo("drained: nothing is left to do" if drained else f"left: {words}")
