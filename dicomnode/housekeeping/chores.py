"""What housekeeping does: leases, unfinished files, the database's log."""

from __future__ import annotations

from datetime import datetime, timedelta

from dicomnode.ports import Clock, InstanceStore, Upkeep

STAGING_HOURS = 24
"""An unfinished file this old belongs to no association that is still alive."""

WORKER_DAYS = 30
"""A worker that was not heard of for so long is of no use to anybody who looks."""


def sweep_staging(store: InstanceStore, now: datetime) -> int:
    """Remove what died in mid-write on this host; how many files."""
    return store.sweep(now - timedelta(hours=STAGING_HOURS))


class Chores:
    """The chores, each a method without arguments that says how much it did."""

    def __init__(
        self,
        upkeep: Upkeep,
        instances: InstanceStore,
        results: InstanceStore,
        clock: Clock,
        *,
        max_attempts: int,
    ) -> None:
        self._upkeep = upkeep
        self._instances = instances
        self._results = results
        self._clock = clock
        self._max_attempts = max_attempts

    def reap_leases(self) -> int:
        """Give the jobs of dead workers back."""
        return self._upkeep.reap(self._clock.now(), self._max_attempts)

    def sweep(self) -> int:
        """Remove what died in mid-write."""
        now = self._clock.now()
        return sweep_staging(self._instances, now) + sweep_staging(self._results, now)

    def forget_workers(self) -> int:
        """Remove the rows of workers that have been silent for long."""
        before = self._clock.now() - timedelta(days=WORKER_DAYS)
        return self._upkeep.forget_workers(before)

    def fold_counts(self) -> int:
        """Keep the counts by state short: nothing of it need be told."""
        self._upkeep.fold_counts()
        return 0

    def tidy_database(self) -> int:
        """Let the database fold its log back."""
        self._upkeep.fold_log()
        return 0
