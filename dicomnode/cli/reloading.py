"""The command that lets the running node take its changed configuration: reload."""

# ruff: noqa: PLC0415 - imports on demand keep --help fast

from __future__ import annotations

import os
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dicomnode.cli import printing
from dicomnode.cli.command import AsJson, ExitCode, Given, command
from dicomnode.cli.setup import check
from dicomnode.errors import ConfigError, DicomNodeError

if TYPE_CHECKING:
    from dicomnode.processes.lock import Reload

ANSWER_SECONDS = 30.0
TAKEN_SECONDS = 30.0
"""How long `reload` waits for the roles; a worker ends its jobs before it takes it."""
_POLL_SECONDS = 0.05


def add_to(app: typer.Typer) -> None:
    """Register reload."""
    command(app, "reload")(reload)


def reload(given: Given, as_json: AsJson = False) -> ExitCode:
    """Let the running node take its changed configuration, without a restart.

    The file is checked first, as `config check` does. What needs a restart is told and
    stays as it was: ports, folders, the database, the logs and the audit trail. It
    returns when every role goes by the new file, and names those that do not yet.
    """
    from dicomnode.processes import lock

    folder = check(given).node.data_dir
    pid = lock.holder(folder)
    if pid is None:
        message = f"no `dicomnode run` works on {folder}; start it, it reads the file"
        raise DicomNodeError(message)
    before = lock.noted(folder)
    _signal(pid)
    told = _answer(folder, before, pid)
    if told.refused:
        raise ConfigError(f"the running node has refused it:\n{told.refused}")
    _print(told, _late(folder, told), as_json=as_json)
    return ExitCode.OK


def _signal(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGHUP)
    except OSError as error:
        message = f"cannot reach the node ({error.strerror}); give the command as its "
        raise DicomNodeError(f"{message}user, for example with `sudo -u`") from error


def _answer(folder: Path, before: Reload | None, pid: int) -> Reload:
    from dicomnode.processes import lock

    end = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < end:
        told = lock.noted(folder)
        if told is not None and told != before:
            return told
        time.sleep(_POLL_SECONDS)
    raise DicomNodeError(f"process {pid} does not answer; read its log, or restart it")


def _late(folder: Path, told: Reload) -> list[str]:
    """The roles that do not go by it yet, after some waiting."""
    from dicomnode.processes import lock

    end = time.monotonic() + TAKEN_SECONDS
    late = list(told.asked)
    while True:
        late = [one for one in late if not lock.has_taken(folder, one[1])]
        if not late or time.monotonic() >= end:
            return [f"{role} (process {pid})" for role, pid in late]
        time.sleep(_POLL_SECONDS)


def _print(told: Reload, late: list[str], *, as_json: bool) -> None:
    if as_json:
        printing.as_json({**asdict(told), "late": late})
        return
    nothing = "nothing has changed in the file; workers look for other bundles"
    typer.echo(f"taken: {', '.join(told.changed) or nothing}")
    if told.waiting:
        typer.echo(f"needs a restart: {', '.join(told.waiting)}")
    if late:
        message = f"not yet taken by {', '.join(late)}: it ends first what it has begun"
        typer.echo(message, err=True)
