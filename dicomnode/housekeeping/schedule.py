"""Chores run by APScheduler 3.x from a memory job store.

The schedule holds no state worth keeping: every chore is idempotent and finds its work
in the worklist, so a restart loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import structlog
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from dicomnode.housekeeping.logbook import Logbook

_log = structlog.get_logger(__name__)

_PAUSE = timedelta(seconds=0.05)

DEFAULT = "default"
"""The lane whose chores come every second."""


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to do every ``every_seconds``; returns how many things it did.

    ``daily_at``: once a day at this time of day (UTC) instead. ``waits``: on others, as
    a mail server, so that it has a thread of its own. ``is_long``: it may have
    thousands of files to remove, and studies must be routed meanwhile.
    """

    name: str
    every_seconds: float
    run: Callable[[], int]
    daily_at: time | None = None
    waits: bool = False
    is_long: bool = False

    @property
    def lane(self) -> str:
        """The thread that runs it."""
        if self.daily_at is not None:
            return "daily"
        if self.is_long:
            return "long"
        return "waiting" if self.waits else DEFAULT

    def trigger(self) -> BaseTrigger:
        """When it is due."""
        if self.daily_at is None:
            return IntervalTrigger(seconds=self.every_seconds, timezone=UTC)
        at = self.daily_at
        return CronTrigger(hour=at.hour, minute=at.minute, timezone=UTC)


class Schedule:
    """Runs chores while this process leads; others stand by.

    Each run goes through ``logbook``. ``turned`` is given the lane of each chore when
    it begins and when it has ended.
    """

    def __init__(
        self,
        chores: Iterable[Chore],
        leads: Callable[[], bool],
        logbook: Logbook,
        turned: Callable[[str], None] = lambda _lane: None,
    ) -> None:
        self._leads = leads
        self._logbook = logbook
        self._turned = turned
        # One thread for each lane: its chores never run beside each other. A daily one
        # takes its time, as a long one does, and studies must be routed meanwhile.
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={
                DEFAULT: ThreadPoolExecutor(1),
                "daily": ThreadPoolExecutor(1),
                "waiting": ThreadPoolExecutor(1),
                "long": ThreadPoolExecutor(1),
            },
            job_defaults={
                "coalesce": True,
                "max_instances": 1,
                "misfire_grace_time": None,
            },
        )
        for chore in chores:
            self._scheduler.add_job(
                self.perform,
                chore.trigger(),
                args=(chore,),
                id=chore.name,
                executor=chore.lane,
            )

    def start(self) -> None:
        """Start in the background."""
        self._scheduler.start()

    def hasten(self, name: str, at: datetime | None = None) -> None:
        """A chore is due now, or ``at`` a time before its tick; from any thread."""
        with suppress(JobLookupError):
            if at is None:
                self._scheduler.modify_job(name, next_run_time=datetime.now(UTC))
            elif at < self._due_at(name):
                # A chore that asks for itself must have ended by then.
                at = max(at, datetime.now(UTC) + _PAUSE)
                self._scheduler.modify_job(name, next_run_time=at)

    def _due_at(self, name: str) -> datetime:
        job = self._scheduler.get_job(name)
        # One that is not there, or is paused, is due at no time.
        due_at = None if job is None else job.next_run_time
        return due_at or datetime.min.replace(tzinfo=UTC)

    def stop(self) -> None:
        """Finish the chore that runs, start no other."""
        self._scheduler.shutdown(wait=True)
        self._logbook.close()

    def perform(self, chore: Chore) -> None:
        """Run one chore if this process leads; a failing chore is tried again."""
        self._turned(chore.lane)
        try:
            done = self._run(chore)
        except Exception:  # noqa: BLE001  # the boundary of a chore: the next tick comes
            _log.exception("chore.failed", chore=chore.name)
            return
        finally:
            self._turned(chore.lane)
        if done:
            _log.info("chore.done", chore=chore.name, n_done=done)

    def _run(self, chore: Chore) -> int:
        if self._leads():
            return self._logbook.run(chore.name, chore.run)
        self._logbook.stand_by()
        return 0
