"""The keeper: APScheduler drives assembler, router, leases, retention."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from datetime import datetime, time
from functools import partial
from threading import Event

from dicomnode.assembler import Assembler
from dicomnode.config import Config
from dicomnode.domain.completion import CompletionPolicy
from dicomnode.housekeeping.chores import Chores
from dicomnode.housekeeping.clock_watch import ClockWatch
from dicomnode.housekeeping.leading import Leading
from dicomnode.housekeeping.logbook import Logbook
from dicomnode.housekeeping.retaining import Retainer
from dicomnode.housekeeping.schedule import DEFAULT, Chore, Schedule
from dicomnode.ports import Clock
from dicomnode.ports.waking import STUDY_KINDS
from dicomnode.processes import (
    alerts,
    auditing,
    presence,
    reconcile,
    service,
    storing,
    waking,
    wiring,
)
from dicomnode.processes.auditing import Auditor
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.memory import leave_in_peace
from dicomnode.processes.renewal import renewed
from dicomnode.processes.role import asked_to_stop
from dicomnode.processes.service import Pulse
from dicomnode.router import Router
from dicomnode.worklist import Worklist

LEADER_LEASE_SECONDS = 10
REAP_SECONDS = 5
ROUTING = "assemble and route"
HANGS_SECONDS = 900.0
"""To remove the files of a hundred large studies takes its time."""
TIDY_SECONDS = 30
"""So the log is short, and seldom so long that a study's own commit must fold it."""
MINUTE, HOUR, DAY = 60, 3600, 86400


_TABLES = (
    "alert",
    "destination",
    "keep",
    "peer",
    "pipeline",
    "retention",
    "study",
    "worker",
)
"""A change of these begins the work of this role anew."""


def main(config: Config) -> int:
    """Keep until asked to stop; 1 when the disk has failed under the worklist."""
    return renewed("keep", config, _TABLES, _keep)


def _keep(config: Config, stop: Event) -> int:
    with (
        auditing.audited_role("keep", config) as audit,
        wiring.opened_worklist(config) as worklist,
        presence.present("keep", worklist),
    ):
        holder = f"{socket.gethostname()}-{os.getpid()}"
        clock = SystemClock()
        pulse = Pulse(HANGS_SECONDS + config.keep.interval_seconds)
        leading = Leading(worklist.upkeep, clock, holder, LEADER_LEASE_SECONDS)
        passing = _Passing(config, worklist, clock)
        chores = [
            Chore(ROUTING, config.keep.interval_seconds, passing.run_once),
            *_chores(config, worklist, audit),
        ]
        intervals = {one.name: one.every_seconds for one in chores}
        logbook = Logbook(worklist.chores, clock, holder, intervals, {ROUTING})
        schedule = Schedule(
            chores,
            leading,
            logbook,
            lambda lane: pulse.beat(lane) if lane == DEFAULT else None,
        )
        passing.again_at = partial(schedule.hasten, ROUTING)
        hasten = partial(schedule.hasten, ROUTING)
        with leading.renewing():
            schedule.start()
            worklist.wakeups.subscribe(STUDY_KINDS, hasten)
            service.ready()
            leave_in_peace()
            with waking.woken(config, "keep", hasten):
                well = asked_to_stop(stop, lambda: worklist.is_sound, pulse)
            schedule.stop()
    return 0 if well else 1


class _Passing:
    """Receiving -> complete -> jobs, and a word to the workers."""

    def __init__(self, config: Config, worklist: Worklist, clock: Clock) -> None:
        self._config = config
        self._router = Router(worklist.studies, wiring.rules(config), clock)
        self._assembler = Assembler(
            worklist.studies, _policy(config), clock, self._router.decide
        )
        self._watch = ClockWatch(clock)
        self.again_at: Callable[[datetime], None] = lambda _at: None
        """Told when the next study goes quiet, which need not wait for a tick."""

    def run_once(self) -> int:
        """How much was done."""
        rests = self._watch.moved_within(self._config.study.quiet_seconds)
        completed = 0 if rests else self._told(self._assembler.run_once())
        # What was complete before, but held, or whose job has finished.
        routed = self._told(self._router.run_once())
        if not rests and self._assembler.due_at is not None:
            self.again_at(self._assembler.due_at)
        return completed + routed

    def _told(self, n_done: int) -> int:
        if n_done:
            waking.wake(self._config, "work")
        return n_done


def _chores(config: Config, worklist: Worklist, audit: Auditor) -> Iterator[Chore]:
    clock = SystemClock()
    chores = Chores(
        worklist.upkeep,
        storing.open_store(config),
        storing.open_results_store(config),
        clock,
        max_attempts=config.worker.max_attempts,
    )

    watch = ClockWatch(clock)

    def reap_leases() -> int:
        # Whoever lives renews its lease within this time, by the clock as it is now.
        rests = watch.moved_within(config.worker.lease_seconds)
        return 0 if rests else chores.reap_leases()

    yield Chore("reap leases", REAP_SECONDS, reap_leases)
    for name, run in (
        ("retain", _retainer(config, worklist, audit).run_once),
        (
            "empty quarantine",
            presence.quarantine_keeper(config, worklist, audit).run_once,
        ),
        ("sweep", chores.sweep),
        ("forget workers", chores.forget_workers),
    ):
        yield Chore(name, HOUR, run, is_long=True)
    yield Chore("fold counts", MINUTE, chores.fold_counts)
    yield Chore("tidy database", TIDY_SECONDS, chores.tidy_database)
    if alerts.channels(config):
        telling = alerts.alerts(config, worklist)
        interval = config.alert.interval_seconds
        yield Chore("alert", interval, telling.run_once, waits=True)
    if config.keep.reconcile_at:
        at = time.fromisoformat(config.keep.reconcile_at)

        def reconciled() -> int:
            return reconcile.nightly(config, worklist)

        yield Chore("reconcile", DAY, reconciled, at)


def _retainer(config: Config, worklist: Worklist, audit: Auditor) -> Retainer:
    return Retainer(
        audit.upkeep(worklist.upkeep, worklist.views),
        worklist.studies,
        storing.open_store(config),
        storing.open_results_store(config),
        SystemClock(),
        wiring.retention(config),
    )


def _policy(config: Config) -> CompletionPolicy:
    return CompletionPolicy(
        quiet_seconds=config.study.quiet_seconds,
        expected_n_series=config.study.expected_n_series,
        expected_n_instances=config.study.expected_n_instances,
    )
