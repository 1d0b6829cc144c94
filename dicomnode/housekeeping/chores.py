"""What housekeeping does: leases, retention, unfinished files, the database's log."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from dicomnode.ports import Clock, ExpiredStudy, InstanceStore, Upkeep

STAGING_HOURS = 24
"""An unfinished file this old belongs to no association that is still alive."""

EXPIRED_AT_ONCE = 100


class Chores:
    """The chores, each a method without arguments that says how much it did."""

    def __init__(
        self,
        upkeep: Upkeep,
        instances: InstanceStore,
        results: InstanceStore,
        clock: Clock,
        *,
        keep_days: float,
        max_attempts: int,
    ) -> None:
        self._upkeep = upkeep
        self._instances = instances
        self._results = results
        self._clock = clock
        self._keep_days = keep_days
        self._max_attempts = max_attempts

    def reap_leases(self) -> int:
        """Give the jobs of dead workers back."""
        return self._upkeep.reap(self._clock.now(), self._max_attempts)

    def retain(self) -> int:
        """Remove the files of studies that are done with and older than keep_days."""
        now = self._clock.now()
        before = now - timedelta(days=self._keep_days)
        expired = self._upkeep.expired(before, EXPIRED_AT_ONCE)
        for study in expired:
            self._remove(study)
            self._upkeep.forget_files(study.study_instance_uid, now)
        return len(expired)

    def sweep(self) -> int:
        """Remove what died in mid-write."""
        older_than = self._clock.now() - timedelta(hours=STAGING_HOURS)
        return self._instances.sweep(older_than) + self._results.sweep(older_than)

    def tidy_database(self) -> int:
        """Let the database fold its log back."""
        self._upkeep.fold_log()
        return 0

    def _remove(self, study: ExpiredStudy) -> None:
        _delete(self._instances, study.instance_locations)
        _delete(self._results, study.result_locations)


def _delete(store: InstanceStore, locations: Iterable[str]) -> None:
    for location in locations:
        store.delete(location)
