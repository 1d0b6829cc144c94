"""The supervisor: starts every role, watches and restarts them, stops them cleanly."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
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

_DEVICE = "DICOMNODE_WORKER__DEVICE"
ROLES = ("receive", "keep", "work", "deliver", "web")
HEAD_START_SECONDS = 1.5
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
        tell = partial(_tell, config)
        children = [
            Child(one, monotonic, tell=tell, delay_seconds=_head_start(one))
            for one in commands(config)
        ]
        try:
            watch(children, stop, lambda: _renew(renewal, children, audit))
        finally:
            stop_all(children, STOP_SECONDS)
    return 0


def _head_start(command: Command) -> float:
    """Seconds in which the receiver has the processor for itself: modalities wait."""
    return 0.0 if command.role == "receive" else HEAD_START_SECONDS


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
    lock.ask_anew(folder)
    asked = [
        (one.command.role, pid)
        for one in children
        if (pid := one.ask_to_reload()) is not None
    ]
    _note(renewal.config, "node config take", _words(taken))
    told = lock.Reload(now.isoformat(), "", taken.changed, taken.waiting, asked)
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


def commands(config: Config) -> list[Command]:
    """What is started: every role once, the worker once for each device and process."""
    roles = [one for one in ROLES if one != "web" or config.web.enabled]
    found: list[Command] = []
    for name in roles:
        command = _command(name, config)
        found += _workers(command, config) if name == "work" else [command]
    return found


def _workers(command: Command, config: Config) -> list[Command]:
    """Each says to itself which device is its own, as its environment would."""
    devices = config.worker.devices or (config.worker.device,)
    return [
        replace(command, environ={**command.environ, _DEVICE: device})
        for device in devices
        for _ in range(config.worker.processes)
    ]


def _command(name: str, config: Config) -> Command:
    argv = [sys.executable, "-m", "dicomnode", name]
    if config.file is not None:
        argv += ["--config", str(config.file)]
    environ = {**service.child_environ(name), SUPERVISOR_PID: str(os.getpid())}
    return Command(name, argv, environ)
