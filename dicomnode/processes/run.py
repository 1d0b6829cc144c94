"""The supervisor: starts every role, watches and restarts them, stops them cleanly."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from time import monotonic

import structlog

from dicomnode.config import Config, Taken
from dicomnode.errors import ConfigError, WorklistError
from dicomnode.ports import NodeEvent
from dicomnode.processes import auditing, lock, service, wiring
from dicomnode.processes.auditing import Auditor
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.renewal import Renewal
from dicomnode.processes.role import role
from dicomnode.processes.service import SUPERVISOR_PID
from dicomnode.processes.supervision import Child, Command, Ended, stop_all, watch
from dicomnode.worklist import open_worklist

_log = structlog.get_logger(__name__)

ROLES = ("receive", "keep", "work", "deliver", "web")
STOP_SECONDS = 60.0
"""What a job or a C-STORE that has begun may take to end after SIGTERM."""


def main(config: Config) -> int:
    """Run the whole node until asked to stop."""
    renewal = Renewal(config)
    with (
        role("run", config, renewal.ask) as stop,
        lock.only_one(config.node.data_dir),
        auditing.audited_role("run", config) as audit,
    ):
        lock.forget(config.node.data_dir)
        wiring.prepare(config)
        roles = [one for one in ROLES if one != "web" or config.web.enabled]
        tell = partial(_tell, config)
        children = [
            Child(_command(name, config), monotonic, tell=tell) for name in roles
        ]
        try:
            watch(children, stop, lambda: _renew(renewal, children, audit))
        finally:
            stop_all(children, STOP_SECONDS)
    return 0


def _renew(renewal: Renewal, children: Sequence[Child], audit: Auditor) -> None:
    """Take a new configuration when asked to, and let every role do so.

    A wrong one goes no further: each role goes on with what it has.
    """
    if not renewal.is_asked:
        return
    now, folder = SystemClock().now(), renewal.config.node.data_dir
    try:
        taken = renewal.take()
    except ConfigError as error:
        lock.note(folder, lock.Reload(now.isoformat(), refused=str(error)))
        _note(renewal.config, "node config refuse", str(error))
        return
    auditing.note_changes(audit, taken.config)
    for child in children:
        child.ask_to_reload()
    _note(renewal.config, "node config take", _words(taken))
    told = lock.Reload(now.isoformat(), "", taken.changed, taken.waiting)
    lock.note(folder, told)


def _words(taken: Taken) -> str:
    changed = ", ".join(taken.changed) or "nothing has changed"
    waiting = ", ".join(taken.waiting)
    return changed + (f"; after a restart: {waiting}" if waiting else "")


def _tell(config: Config, ended: Ended) -> None:
    _note(config, "node role end", f"{ended.role}: {ended}")


def _note(config: Config, kind: NodeEvent, detail: str) -> None:
    """Make it seen where an admin looks; the supervisor itself must not fail by it."""
    try:
        with open_worklist(config.worklist_url) as worklist:
            worklist.upkeep.note(kind, detail, SystemClock().now())
    except WorklistError as error:
        _log.warning("supervisor.not_noted", kind=kind, error=str(error))


def _command(name: str, config: Config) -> Command:
    argv = [sys.executable, "-m", "dicomnode", name]
    if config.file is not None:
        argv += ["--config", str(config.file)]
    environ = {**service.child_environ(name), SUPERVISOR_PID: str(os.getpid())}
    return Command(name, argv, environ)
