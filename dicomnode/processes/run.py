"""The supervisor: starts every role, watches and restarts them, stops them cleanly."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic

import structlog

from dicomnode.config import Config
from dicomnode.errors import ConfigError, WorklistError
from dicomnode.processes import auditing, service, wiring
from dicomnode.processes.clock import SystemClock
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
    with (
        role("run", config) as stop,
        only_one(config),
        auditing.audited_role("run", config),
    ):
        wiring.prepare(config)
        roles = [one for one in ROLES if one != "web" or config.web.enabled]
        tell = partial(_tell, config)
        children = [
            Child(_command(name, config), monotonic, tell=tell) for name in roles
        ]
        try:
            watch(children, stop, service.alive)
        finally:
            stop_all(children, STOP_SECONDS)
    return 0


def _tell(config: Config, ended: Ended) -> None:
    """Make it seen where an admin looks; the supervisor itself must not fail by it."""
    try:
        with open_worklist(config.worklist_url) as worklist:
            now = SystemClock().now()
            worklist.upkeep.note_role_end(ended.role, str(ended), now)
    except WorklistError as error:
        _log.warning("supervisor.not_noted", role=ended.role, error=str(error))


def _command(name: str, config: Config) -> Command:
    argv = [sys.executable, "-m", "dicomnode", name]
    if config.file is not None:
        argv += ["--config", str(config.file)]
    environ = {**service.child_environ(name), SUPERVISOR_PID: str(os.getpid())}
    return Command(name, argv, environ)


@contextmanager
def only_one(config: Config) -> Iterator[None]:
    """Hold the data folder's lock; raises ConfigError when another node has it."""
    folder = config.node.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "node.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = (
                f"another node runs on {folder}; stop it first, "
                f"or give this one its own node.data_dir"
            )
            raise ConfigError(message) from error
        yield
