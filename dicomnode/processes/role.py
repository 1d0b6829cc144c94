"""What every role does the same way: log, stop on a signal, die with the supervisor."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Event, Thread
from types import FrameType
from typing import NoReturn

import structlog

from dicomnode import telemetry
from dicomnode.config import Config
from dicomnode.processes import service
from dicomnode.processes.service import SUPERVISOR_PID, Pulse

LOOK_SECONDS = 1.0
_STOP, _RELOAD = b"!", b"?"
_WORDS = {signal.SIGTERM: _STOP, signal.SIGINT: _STOP, signal.SIGHUP: _RELOAD}
_PR_SET_PDEATHSIG = 1


@contextmanager
def role(
    name: str,
    config: Config,
    reload: Callable[[], None] = lambda: None,
    end: Callable[[], None] = lambda: None,
) -> Iterator[Event]:
    """Run a role's body with logging set up; the event is set on SIGTERM and SIGINT.

    ``end`` is called too then, and ``reload`` on SIGHUP, each in a thread of its own.
    """
    telemetry.configure(name, config.telemetry.log_format, config.telemetry.log_level)
    stop = Event()

    def ended() -> None:
        stop.set()
        end()

    _on_signals(ended, reload)
    die_with_supervisor()
    # A watchdog ends a process by SIGABRT: then the log says where each thread was.
    faulthandler.enable()
    log = structlog.get_logger("dicomnode.processes")
    log.info("role.started")
    yield stop
    log.info("role.stopped")


def _on_signals(end: Callable[[], None], reload: Callable[[], None]) -> None:
    """Call these by a thread of its own.

    A handler interrupts the main thread wherever it is, so it must not take a lock:
    inside ``stop.wait()`` that thread holds the one which ``stop.set()`` needs, and
    would wait for itself for ever.
    """
    told, tell = os.pipe()
    had_terminal = os.isatty(0)

    def pass_on() -> None:
        while True:
            wants_reload = os.read(told, 1) == _RELOAD
            # A terminal that is closed sends SIGHUP too, and means the end.
            lost_terminal = had_terminal and not os.isatty(0)
            if wants_reload and not lost_terminal:
                Thread(target=reload, name="reload", daemon=True).start()
            else:
                service.stopping()
                end()

    Thread(target=pass_on, name="signals", daemon=True).start()
    for number, word in _WORDS.items():
        signal.signal(number, partial(_write, tell, word))
    # The supervisor blocks it until there is a handler; it would end us otherwise.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def _write(to: int, word: bytes, _signal: int, _frame: FrameType | None) -> None:
    os.write(to, word)


def waking(stop: Event, ring: Callable[[], None]) -> None:
    """Call ``ring`` when ``stop`` is set, so that nobody waits for its own poll."""

    def pass_on() -> None:
        stop.wait()
        ring()

    Thread(target=pass_on, name="waking", daemon=True).start()


def asked_to_stop(
    stop: Event, is_well: Callable[[], bool], pulse: Pulse | None = None
) -> bool:
    """Wait until ``stop`` is set (True) or the process is no longer well (False).

    A process that lives on after its thread has died, or after a failed sync, would
    fail silently; one that ends is started anew by the supervisor. One whose loop
    hangs (``pulse``) cannot even end in order, so it ends at once.
    """
    while not stop.wait(LOOK_SECONDS):
        if not is_well():
            structlog.get_logger("dicomnode.processes").error("role.not_well")
            return False
        if hanging := pulse.hanging() if pulse else ():
            _end_hanging(", ".join(hanging))
        service.alive()
    return True


def _end_hanging(loops: str) -> NoReturn:
    """Whatever was under way is taken up again, as after any other death."""
    log = structlog.get_logger("dicomnode.processes")
    remedy = "it is started afresh; send the traceback below with a support bundle"
    log.error("role.hangs", reason=loops, remedy=remedy)
    sys.stdout.flush()
    faulthandler.dump_traceback()
    os._exit(1)


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
