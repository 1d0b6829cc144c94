"""What waits, without reading all of it: however long a queue is, its ends are near."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime

from dicomnode.domain.job import JobState
from dicomnode.domain.study import StudyState
from dicomnode.views.asking import Asking, Record, utc_text

# However long the queue is: of each state and priority those that are in it longest.
# CROSS JOIN keeps SQLite from walking through all revisions for the sake of the order.
_QUEUED = """
SELECT q.job_id FROM (
  SELECT job_id, study_instance_uid, revision, pipeline FROM jobs
  WHERE state = :state AND priority = :priority
  ORDER BY scheduled_at, job_id LIMIT 100) q
CROSS JOIN revisions r
WHERE r.study_instance_uid = q.study_instance_uid AND r.revision = q.revision
ORDER BY r.received_at, q.study_instance_uid, q.pipeline LIMIT 1
"""
_NEXT_PRIORITY = """
SELECT max(priority) AS priority FROM jobs WHERE state = :state AND priority < :below
"""
_ABOVE_ALL = 2**31 - 1

_UNROUTED = """
SELECT count(*) AS n_studies, min(completed_at) AS since FROM v1_worklist
WHERE study_state = 'COMPLETE' AND completed_at < :before AND held_at IS NULL
"""

# As a literal, or no partial index serves.
_IS_LATE = "state = 'PENDING' AND attempts > 0"
_LATE = f"""
SELECT destination, count(*) AS n_results FROM deliveries
WHERE {_IS_LATE} GROUP BY destination ORDER BY destination
"""  # noqa: S608 - two literals of this file

_NEXT_DESTINATION = """
SELECT min(destination) AS destination FROM deliveries WHERE destination > :after
"""
_PENDING = """
SELECT count(*) AS n FROM deliveries
WHERE destination = :destination AND state = 'PENDING'
"""


class Backlog(Asking):
    """What is not done yet."""

    def oldest(self) -> Record | None:
        """The row of ``v1_worklist`` of the study that came first and is not done.

        Of the jobs of one priority, it is looked for among the 100 that wait longest.
        """
        found = [*self._arriving(), *self._queued()]
        return min(found, key=lambda row: str(row["received_at"]), default=None)

    def _arriving(self) -> Iterator[Record]:
        for state in (StudyState.RECEIVING, StudyState.COMPLETE):
            conditions = {"study_state = :state": state}
            yield from self._select("v1_worklist", conditions, "received_at", 1)

    def _queued(self) -> Iterator[Record]:
        for state in (JobState.SCHEDULED, JobState.IN_PROGRESS):
            for priority in self._priorities(state):
                asked = {"state": state.value, "priority": priority}
                for row in self._run(_QUEUED, asked):
                    conditions = {"job_id = :job": row["job_id"]}
                    yield from self._select("v1_worklist", conditions, "job_id")

    def _priorities(self, state: JobState) -> Iterator[int]:
        """Of the jobs in one state, by a step of the index for each."""
        below: int | None = _ABOVE_ALL
        while below is not None:
            asked = {"state": state.value, "below": below}
            below = self._run(_NEXT_PRIORITY, asked)[0]["priority"]
            if below is not None:
                yield below

    def unrouted(self, before: datetime) -> Record:
        """``n_studies`` that are complete since before then, the first ``since`` when.

        Those that are held shall not be routed, and do not count.
        """
        return self._run(_UNROUTED, {"before": utc_text(before)})[0]

    def late(self) -> list[Record]:
        """Results that were tried and wait, by destination.

        The row of ``v1_deliveries`` that is tried next, and ``n_results`` like it.
        """
        return [
            {**soonest, "n_results": row["n_results"]}
            for row in self._run(_LATE, {})
            for soonest in self._late_of(row["destination"])
        ]

    def _late_of(self, destination: str) -> list[Record]:
        conditions = {"destination = :destination": destination}
        order = "next_attempt_at"
        return self._select("v1_deliveries", conditions, order, 1, _IS_LATE)

    def stranded(self, known: Collection[str]) -> dict[str, int]:
        """How many results wait for each destination that is not one of ``known``."""
        names = (name for name in self._destinations() if name not in known)
        counts = {
            name: self._run(_PENDING, {"destination": name})[0]["n"] for name in names
        }
        return {name: number for name, number in counts.items() if number}

    def _destinations(self) -> Iterator[str]:
        """Every one that ever had a delivery, by a step of the index for each."""
        name: str | None = ""
        while name is not None:
            found = self._run(_NEXT_DESTINATION, {"after": name})
            name = found[0]["destination"]
            if name is not None:
                yield name
