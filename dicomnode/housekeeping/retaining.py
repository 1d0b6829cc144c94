"""Retention: the files of studies that are done with go when their time is over.

Studies that a rule keeps for years must not cost much at every look. A study that is
older than every rule is removed unread. Of the others the instances are read once: how
long the study stays is remembered until something happens to it. And one look takes so
many studies, and reads so many instances, only; the next goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from dicomnode.domain.retention import (
    Retention,
    days_kept,
    ends_before,
    is_over,
)
from dicomnode.ports import Clock, EndedStudy, InstanceStore, Studies, Upkeep

REMOVED_AT_ONCE = 100
PAGE = 500
PAGES_AT_ONCE = 20
"""Ten thousand studies in one look: an hour later the next ones."""
READ_AT_ONCE = 50_000
"""Instances, some ten seconds: so long the other long chores wait."""
REMEMBERED = 50_000
"""Some 15 MB; what is kept beyond that is read again in each round."""


class Retainer:
    """Removes the files of studies that have stayed as long as ``retention`` says."""

    def __init__(
        self,
        upkeep: Upkeep,
        studies: Studies,
        instances: InstanceStore,
        results: InstanceStore,
        clock: Clock,
        retention: Retention,
    ) -> None:
        self._upkeep = upkeep
        self._studies = studies
        self._instances = instances
        self._results = results
        self._clock = clock
        self._retention = retention
        self._after: EndedStudy | None = None
        self._n_read = 0
        self._known: dict[str, tuple[datetime, float]] = {}

    def run_once(self) -> int:
        """Look once; of how many studies the files are removed."""
        now = self._clock.now()
        removed = self._n_read = 0
        for study in self._ended(now):
            days = self._days_of(study, now)
            if is_over(study.ended_at, days, now):
                removed += self._remove(study, ends_before(days, now))
            if removed == REMOVED_AT_ONCE or self._n_read >= READ_AT_ONCE:
                break
        return removed

    def _ended(self, now: datetime) -> Iterator[EndedStudy]:
        """Those that may go, from where the last look ended; at their end anew."""
        before = ends_before(self._retention.shortest_days, now)
        for _ in range(PAGES_AT_ONCE):
            page = self._upkeep.ended(before, PAGE, self._after)
            for study in page:
                self._after = study
                yield study
            if len(page) < PAGE:
                self._after = None
                return

    def _days_of(self, study: EndedStudy, now: datetime) -> float:
        longest = self._retention.longest_days
        if is_over(study.ended_at, longest, now):
            return longest
        uid = study.study_instance_uid
        ended_at, days = self._known.get(uid, (None, longest))
        if ended_at != study.ended_at:
            instances = self._studies.instances(uid)
            self._n_read += len(instances)
            days = days_kept(self._retention, instances)
            if len(self._known) < REMEMBERED:
                self._known[uid] = (study.ended_at, days)
        return days

    def _remove(self, study: EndedStudy, before: datetime) -> bool:
        self._known.pop(study.study_instance_uid, None)
        # What comes from here on is not among the files, and must not be forgotten.
        now = self._clock.now()
        expired = self._upkeep.expired(study.study_instance_uid, before)
        if expired is None:  # something has come meanwhile
            return False
        _delete(self._instances, expired.instance_locations)
        _delete(self._results, expired.result_locations)
        self._upkeep.forget_files(study.study_instance_uid, now)
        return True


def _delete(store: InstanceStore, locations: Iterable[str]) -> None:
    for location in locations:
        store.delete(location)
