"""How children are kept alive: pure decisions and one small class around Popen."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event
from time import monotonic as now

import structlog

from dicomnode.processes import service

_log = structlog.get_logger(__name__)

WATCH_SECONDS = 0.2
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A child that lived this long has recovered: its next failure counts as the first."""


def restart_delay_seconds(failures: int) -> float:
    """Seconds to wait before the restart that follows the ``failures``-th failure."""
    return float(min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (failures - 1)))


@dataclass(frozen=True, slots=True)
class Command:
    """What a role is started with; it inherits the file ``descriptors``."""

    role: str
    argv: Sequence[str]
    environ: dict[str, str]
    descriptors: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """How a role ended unasked, for the ``failures``-th time in a row."""

    role: str
    returncode: int
    failures: int
    restart_in_seconds: float

    def __str__(self) -> str:
        return (
            f"exit status {self.returncode}, {self.failures} in a row; it is started "
            f"again in {self.restart_in_seconds:g} s"
        )


class Child:
    """One role's process: started, watched, restarted with growing delay.

    ``clean_up`` runs after it has died, before it is started again; ``tell`` is given
    how it ended; ``delay_seconds`` passes before it is started for the first time.
    """

    def __init__(
        self,
        command: Command,
        monotonic: Callable[[], float],
        clean_up: Callable[[], None] = lambda: None,
        tell: Callable[[Ended], None] = lambda _ended: None,
        delay_seconds: float = 0.0,
    ) -> None:
        self.command = command
        self._monotonic = monotonic
        self._clean_up = clean_up
        self._tell = tell
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at = monotonic() + delay_seconds
        self._failures = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None else self._process.pid

    def watch(self) -> None:
        """Start the process, or start it again when its delay is over."""
        if self._process is not None and self._process.poll() is not None:
            self._note_exit(self._process.returncode)
        if self._process is None and self._monotonic() >= self._restart_at:
            self._start()

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def ask_to_reload(self) -> int | None:
        """SIGHUP to this process; None: it does not run, and reads the file then."""
        if self._process is None or self._process.poll() is not None:
            return None
        self._process.send_signal(signal.SIGHUP)
        return self._process.pid

    def wait(self, seconds: float) -> None:
        """Wait for the end, SIGKILL after ``seconds``."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            _log.error("supervisor.killed", role=self.command.role)
            self._process.kill()
            self._process.wait()
        self._process = None

    def _start(self) -> None:
        self._started_at = self._monotonic()
        # It would be ended by a SIGHUP before it has a handler; so it gets that later.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            self._process = subprocess.Popen(  # noqa: S603  # our own interpreter, role
                self.command.argv,
                env=self.command.environ,
                pass_fds=self.command.descriptors,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _log.info(
            "supervisor.started", role=self.command.role, child_pid=self._process.pid
        )

    def _note_exit(self, returncode: int) -> None:
        lived = self._monotonic() - self._started_at
        self._failures = 1 if lived >= STEADY_SECONDS else self._failures + 1
        delay = restart_delay_seconds(self._failures)
        self._restart_at = self._monotonic() + delay
        self._process = None
        self._clean_up()
        _log.error(
            "supervisor.role_ended",
            role=self.command.role,
            returncode=returncode,
            failures=self._failures,
            restart_in_seconds=delay,
        )
        self._tell(Ended(self.command.role, returncode, self._failures, delay))


def watch(
    children: Sequence[Child], stop: Event, each_turn: Callable[[], None] = lambda: None
) -> None:
    """Keep every child running until ``stop`` is set."""
    while not stop.is_set():
        service.alive()
        each_turn()
        for child in children:
            child.watch()
        stop.wait(WATCH_SECONDS)


def stop_all(children: Sequence[Child], seconds: float) -> None:
    """Ask every child to stop; SIGKILL for those that have not after ``seconds``."""
    for child in children:
        child.ask_to_stop()
    deadline = now() + seconds
    for child in children:
        child.wait(deadline - now())
