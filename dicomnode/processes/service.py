"""What a service manager is told: ready, alive, stopping (sd_notify(3)); Linux only.

systemd names a datagram socket in ``NOTIFY_SOCKET``; with ``WatchdogSec=`` it says in
``WATCHDOG_USEC`` how often it must hear of us. Without them nothing is said.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from time import monotonic

import structlog

_log = structlog.get_logger(__name__)

SUPERVISOR_PID = "DICOMNODE_SUPERVISOR_PID"
_SOCKET = "NOTIFY_SOCKET"
_WATCHDOG = ("WATCHDOG_USEC", "WATCHDOG_PID")


def ready() -> None:
    """The role serves now."""
    _say("READY=1")


def stopping() -> None:
    """The role was asked to stop; one that a supervisor stops is not the service."""
    if SUPERVISOR_PID not in os.environ:
        _say("STOPPING=1")


def alive() -> None:
    """The main loop has turned; to be called by that loop and by nothing else."""
    asked, of = (os.environ.get(name) for name in _WATCHDOG)
    if asked and of in (None, str(os.getpid())):
        _say("WATCHDOG=1")


def child_environ(role: str) -> dict[str, str]:
    """What a supervisor passes on: the receiver says when the whole node is ready."""
    left_out = {*_WATCHDOG, *(() if role == "receive" else (_SOCKET,))}
    return {key: text for key, text in os.environ.items() if key not in left_out}


def _say(state: str) -> None:
    address = os.environ.get(_SOCKET, "")
    if not address:
        return
    # "@" stands for the zero byte of an abstract address (unix(7)).
    name = f"\0{address[1:]}" if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(state.encode(), name)
    except OSError as error:
        # The service manager draws its own conclusions from silence.
        _log.warning("service.not_told", reason=state, error=str(error.strerror))


class Pulse:
    """When each loop of a role has last turned; ``limit_seconds``: when it hangs."""

    def __init__(
        self, limit_seconds: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._limit_seconds = limit_seconds
        self._clock = clock
        self._turned: dict[str, float] = {}

    def beat(self, loop: str) -> None:
        """``loop`` has turned; from its first turn on it is watched."""
        self._turned[loop] = self._clock()

    def hanging(self) -> list[str]:
        """The loops that have not turned for too long."""
        oldest = self._clock() - self._limit_seconds
        return sorted(loop for loop, at in self._turned.items() if at < oldest)
