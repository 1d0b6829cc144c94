"""The supervisor: starts every role, watches and restarts them, stops them cleanly."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from dicomnode.config import Config
from dicomnode.errors import ConfigError
from dicomnode.processes import auditing, wiring
from dicomnode.processes.role import SUPERVISOR_PID, role
from dicomnode.processes.supervision import Child, Command, stop_all, watch

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
        children = [Child(_command(name, config), monotonic) for name in roles]
        try:
            watch(children, stop)
        finally:
            stop_all(children, STOP_SECONDS)
    return 0


def _command(name: str, config: Config) -> Command:
    argv = [sys.executable, "-m", "dicomnode", name]
    if config.file is not None:
        argv += ["--config", str(config.file)]
    environ = {**os.environ, SUPERVISOR_PID: str(os.getpid())}
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
