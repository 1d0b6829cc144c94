"""A role says that it lives, and keeps its own disk in order.

With an object store every host has a disk of its own, where data sets come in and what
was refused lies: the keeper, on another host, cannot see it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event, Thread
from time import monotonic

import structlog

from dicomnode.config import Config
from dicomnode.domain.hosts import BEAT_SECONDS, RoleProcess
from dicomnode.errors import DicomNodeError, WorklistError
from dicomnode.housekeeping.chores import sweep_staging
from dicomnode.housekeeping.quarantine import QuarantineKeeper
from dicomnode.ports import InstanceStore
from dicomnode.processes import storing
from dicomnode.processes.auditing import Auditor
from dicomnode.processes.clock import SystemClock
from dicomnode.version import VERSION
from dicomnode.worklist import Worklist

_log = structlog.get_logger(__name__)

TEND_SECONDS = 3600.0
Chore = Callable[[], int]


@contextmanager
def present(
    name: str, worklist: Worklist, chores: Sequence[Chore] = ()
) -> Iterator[None]:
    """While this lasts the worklist hears of this role; chores run every hour."""
    clock, stop = SystemClock(), Event()
    process = RoleProcess(name, socket.gethostname(), os.getpid(), clock.now(), VERSION)

    def live() -> None:
        tend_at = monotonic()
        while True:
            # Without the worklist nobody hears it; who asks is told that we are stale.
            with suppress(WorklistError):
                worklist.roles.beat(process, clock.now())
            if monotonic() >= tend_at:
                tend_at = monotonic() + TEND_SECONDS
                _tend(chores)
            if stop.wait(BEAT_SECONDS):
                return

    thread = Thread(target=live, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(BEAT_SECONDS)
        with suppress(WorklistError):
            worklist.roles.leave(process)


def of_receiver(config: Config, worklist: Worklist, audit: Auditor) -> Sequence[Chore]:
    """What a receiver does for its own disk, if the store is no place of all hosts."""
    if not config.store.is_remote:
        return ()
    keeper = quarantine_keeper(config, worklist, audit)
    return (keeper.run_once, *_sweeping(storing.open_store(config)))


def of_worker(config: Config) -> Sequence[Chore]:
    """The same of a worker, whose results lie on its disk before they are objects."""
    if not config.store.is_remote:
        return ()
    return _sweeping(storing.open_results_store(config))


def quarantine_keeper(
    config: Config, worklist: Worklist, audit: Auditor
) -> QuarantineKeeper:
    """Of what was set aside on this host."""
    return QuarantineKeeper(
        storing.open_quarantine(config),
        worklist.upkeep,
        SystemClock(),
        config.retention.quarantine_days,
        lambda what: audit.restricted("empty quarantine", what),
    )


def _sweeping(store: InstanceStore) -> Sequence[Chore]:
    return (lambda: sweep_staging(store, SystemClock().now()),)


def _tend(chores: Sequence[Chore]) -> None:
    for chore in chores:
        try:
            chore()
        except (DicomNodeError, OSError) as error:
            _log.warning("presence.not_tended", error=str(error))
