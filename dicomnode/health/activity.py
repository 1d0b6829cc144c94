"""What goes on just now: images a second and jobs a minute, from look to look.

Pure: it is given rows of the views and the time, and keeps what it needs of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from dicomnode.health.moments import moment

WINDOW_SECONDS = 60.0
_BY = " by "
_MOST_JOBS = 10_000

Row = Mapping[str, Any]


class _Tally:
    """How much of what came within the window."""

    def __init__(self) -> None:
        self._entries: deque[tuple[datetime, str, int]] = deque()

    def add(self, at: datetime, name: str, number: int) -> None:
        self._entries.append((at, name, number))

    def within(self, now: datetime, name: str | None) -> int:
        oldest = now - timedelta(seconds=WINDOW_SECONDS)
        while self._entries and self._entries[0][0] < oldest:
            self._entries.popleft()
        return sum(
            number for _, one, number in self._entries if name is None or one == name
        )


class Activity:
    """Rates over the last minute; all are 0 until something was seen to change."""

    def __init__(self) -> None:
        self._n_instances: dict[str, int] | None = None
        self._images = _Tally()
        self._jobs = _Tally()
        self._workers: dict[str, str] = {}

    def see_studies(self, volumes: Iterable[Row], now: datetime) -> None:
        """Rows of ``Views.volumes``: what a study has more than before came since."""
        before, found = self._n_instances, {}
        for row in volumes:
            uid, number = row["study_instance_uid"], int(row["n_instances"])
            found[uid] = number
            more = number - before.get(uid, 0) if before is not None else 0
            if more > 0:
                self._images.add(now, row["calling_ae_title"], more)
        self._n_instances = found

    def see_events(self, events: Iterable[Row]) -> None:
        """New rows of ``v1_events``: who claimed which job, and which have ended."""
        for row in events:
            if row["kind"] == "job claim":
                self._workers[row["job_id"]] = row["detail"].rpartition(_BY)[2]
            elif row["kind"] == "job finish":
                worker = self._workers.pop(row["job_id"], "")
                self._jobs.add(moment(row["at"]), worker, 1)
        while len(self._workers) > _MOST_JOBS:
            self._workers.pop(next(iter(self._workers)))

    def images_per_second(self, now: datetime, sender: str | None = None) -> float:
        """Of one sender, or of all."""
        return self._images.within(now, sender) / WINDOW_SECONDS

    def jobs_per_minute(self, now: datetime, worker: str | None = None) -> float:
        """Of one worker, or of all."""
        return self._jobs.within(now, worker) * 60.0 / WINDOW_SECONDS
