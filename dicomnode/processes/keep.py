"""The keeper: APScheduler drives assembler, router, leases, retention."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from datetime import time

from dicomnode.assembler import Assembler
from dicomnode.config import Config
from dicomnode.domain.completion import CompletionPolicy
from dicomnode.housekeeping.chores import Chores
from dicomnode.housekeeping.clock_watch import ClockWatch
from dicomnode.housekeeping.schedule import Chore, Schedule
from dicomnode.ports.waking import STUDY_KINDS
from dicomnode.processes import auditing, reconcile, wiring
from dicomnode.processes.auditing import Auditor
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.role import asked_to_stop, role
from dicomnode.router import Router
from dicomnode.worklist import Worklist

LEADER_LEASE_SECONDS = 10
REAP_SECONDS = 5
_ROUTING = "assemble and route"
MINUTE, HOUR, DAY = 60, 3600, 86400


def main(config: Config) -> int:
    """Keep until asked to stop; 1 when the disk has failed under the worklist."""
    with (
        role("keep", config) as stop,
        auditing.audited_role("keep", config) as audit,
        wiring.opened_worklist(config) as worklist,
    ):
        holder = f"{socket.gethostname()}-{os.getpid()}"
        clock = SystemClock()
        schedule = Schedule(
            _chores(config, worklist, audit),
            lambda: worklist.upkeep.lead(holder, clock.now(), LEADER_LEASE_SECONDS),
        )
        schedule.start()
        worklist.wakeups.subscribe(STUDY_KINDS, lambda: schedule.hurry(_ROUTING))
        well = asked_to_stop(stop, lambda: worklist.is_sound)
        schedule.stop()
    return 0 if well else 1


def _chores(config: Config, worklist: Worklist, audit: Auditor) -> Iterator[Chore]:
    clock = SystemClock()
    assembler = Assembler(worklist.studies, _policy(config), clock)
    router = Router(worklist.studies, wiring.rules(config), clock)
    chores = Chores(
        audit.upkeep(worklist.upkeep, worklist.views),
        wiring.open_store(config),
        wiring.open_results_store(config),
        clock,
        keep_days=config.retention.keep_days,
        max_attempts=config.worker.max_attempts,
    )

    watch = ClockWatch(clock)

    def assemble_and_route() -> int:
        # In one tick: what is complete need not wait for the next tick to be routed.
        rests = watch.moved_within(config.study.quiet_seconds)
        return (0 if rests else assembler.run_once()) + router.run_once()

    def reap_leases() -> int:
        # Whoever lives renews its lease within this time, by the clock as it is now.
        rests = watch.moved_within(config.worker.lease_seconds)
        return 0 if rests else chores.reap_leases()

    yield Chore(_ROUTING, config.keep.interval_seconds, assemble_and_route)
    yield Chore("reap leases", REAP_SECONDS, reap_leases)
    yield Chore("retain", HOUR, chores.retain)
    yield Chore("sweep", HOUR, chores.sweep)
    yield Chore("tidy database", 5 * MINUTE, chores.tidy_database)
    if config.keep.reconcile_at:
        at = time.fromisoformat(config.keep.reconcile_at)

        def reconciled() -> int:
            return reconcile.nightly(config, worklist)

        yield Chore("reconcile", DAY, reconciled, at)


def _policy(config: Config) -> CompletionPolicy:
    return CompletionPolicy(
        quiet_seconds=config.study.quiet_seconds,
        expected_n_series=config.study.expected_n_series,
        expected_n_instances=config.study.expected_n_instances,
    )
