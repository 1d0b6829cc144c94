"""What every role does the same way: log, stop on a signal, die with the supervisor."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import FrameType

import structlog

from dicomnode import telemetry
from dicomnode.config import Config

SUPERVISOR_PID = "DICOMNODE_SUPERVISOR_PID"
LOOK_SECONDS = 1.0
_PR_SET_PDEATHSIG = 1


@contextmanager
def role(name: str, config: Config) -> Iterator[Event]:
    """Run a role's body with logging set up; the event is set on SIGTERM and SIGINT."""
    telemetry.configure(name, config.telemetry.log_format, config.telemetry.log_level)
    stop = Event()
    ask_to_stop = _asking(stop)
    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    die_with_supervisor()
    log = structlog.get_logger("dicomnode.processes")
    log.info("role.started")
    yield stop
    log.info("role.stopped")


def _asking(stop: Event) -> Callable[[int, FrameType | None], None]:
    """A signal handler that sets ``stop``, by a thread of its own.

    A handler interrupts the main thread wherever it is, so it must not take a lock:
    inside ``stop.wait()`` that thread holds the one which ``stop.set()`` needs, and
    would wait for itself for ever.
    """
    asked, ask = os.pipe()

    def pass_on() -> None:
        os.read(asked, 1)
        stop.set()

    Thread(target=pass_on, name="signals", daemon=True).start()
    return lambda _signal, _frame: _write(ask)


def _write(descriptor: int) -> None:
    os.write(descriptor, b"!")


def waking(stop: Event, ring: Callable[[], None]) -> None:
    """Call ``ring`` when ``stop`` is set, so that nobody waits for its own poll."""

    def pass_on() -> None:
        stop.wait()
        ring()

    Thread(target=pass_on, name="waking", daemon=True).start()


def asked_to_stop(stop: Event, is_well: Callable[[], bool]) -> bool:
    """Wait until ``stop`` is set (True) or the process is no longer well (False).

    A process that lives on after its thread has died, or after a failed sync, would
    fail silently; one that ends is started anew by the supervisor.
    """
    while not stop.wait(LOOK_SECONDS):
        if not is_well():
            structlog.get_logger("dicomnode.processes").error("role.not_well")
            return False
    return True


def die_with_supervisor() -> None:
    """Ask the kernel for a SIGTERM when the supervisor dies, however it dies.

    An orphaned role would hold the port and the jobs against the next supervisor.
    Linux only (prctl(2)); elsewhere the supervisor's clean stop must do.
    """
    supervisor = os.environ.get(SUPERVISOR_PID)
    if supervisor is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(supervisor):  # it died before the call above
        os.kill(os.getpid(), signal.SIGTERM)
