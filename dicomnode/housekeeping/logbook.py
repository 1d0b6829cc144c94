"""The last run of each chore, noted where everybody can see it.

Most runs find nothing to do, and some come every second: such a run is noted once a
minute. One that did something, the first that failed and the first that went well
again are noted at once. A chore is done whether or not it can be noted.

To note is a commit. Where others wait for what a chore did, and would wait for this
commit too, it is noted by the next run that finds nothing to do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Lock
from types import TracebackType

import structlog

from dicomnode.domain.chore import NOTED_SECONDS, ChoreRun
from dicomnode.errors import DicomNodeError, WorklistError
from dicomnode.ports import ChoreRuns, Clock

_log = structlog.get_logger(__name__)

LATE_SECONDS = 5.0
"""So long after a run it is noted, should no idle one come."""

_REMEDY = "read the log of `dicomnode keep`"


@dataclass(frozen=True, slots=True)
class _Late:
    """A run that is to be noted; ``since``: when the first of them had ended."""

    since: datetime
    run: ChoreRun


class Logbook:
    """Runs chores for ``holder`` and notes how that went; from any thread.

    ``pressing``: the chores that others wait for.
    """

    def __init__(
        self,
        runs: ChoreRuns,
        clock: Clock,
        holder: str,
        every_seconds: Mapping[str, float],
        pressing: Collection[str] = (),
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._holder = holder
        self._every_seconds = every_seconds
        self._pressing = frozenset(pressing)
        self._late: dict[str, _Late] = {}
        self._noted: dict[str, ChoreRun] = {}
        self._enlisted = False
        self._lock = Lock()

    def stand_by(self) -> None:
        """Another process leads, and notes what it does."""
        self._enlisted = False

    def close(self) -> None:
        """Note what is not noted yet; no chore runs any more."""
        for late in self._late.values():
            self._write(late.run)
        self._late.clear()

    def run(self, name: str, chore: Callable[[], int]) -> int:
        """Run a chore; how many things it did. Raises what it raises."""
        began_at = self._clock.now()
        self._enlist(began_at)
        with ExitStack() as way_out:
            way_out.push(partial(self._failed, name, began_at))
            done = chore()
        self._note(ChoreRun(name, began_at, self._clock.now(), done))
        return done

    def _failed(
        self,
        name: str,
        began_at: datetime,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception):
            words = words_of(error)
            self._note(ChoreRun(name, began_at, self._clock.now(), error=words))

    def _enlist(self, now: datetime) -> None:
        with self._lock:
            if self._enlisted:
                return
            try:
                self._runs.enlist(self._every_seconds, self._holder, now)
            except WorklistError as error:
                _log.warning("chore.not_noted", chore="all", error=str(error))
                return
            self._enlisted = True
            self._noted.clear()

    def _note(self, run: ChoreRun) -> None:
        # Each chore runs in one thread, so nobody else notes it at the same time.
        late = self._late.pop(run.name, None)
        if self._can_wait(run, late):
            since = run.ended_at if late is None else late.since
            self._late[run.name] = _Late(since, run)
            return
        if late is not None and not run.n_done:
            self._write(late.run)
        before = self._noted.get(run.name)
        if before is None or _is_news(run, before):
            self._write(run)

    def _can_wait(self, run: ChoreRun, late: _Late | None) -> bool:
        before = self._noted.get(run.name)
        if run.name not in self._pressing or before is None or before.error:
            return False
        waited = 0.0 if late is None else _seconds_between(late.since, run.ended_at)
        return run.n_done > 0 and waited < LATE_SECONDS

    def _write(self, run: ChoreRun) -> None:
        try:
            self._runs.ran(run)
        except WorklistError as error:
            _log.warning("chore.not_noted", chore=run.name, error=str(error))
            return
        self._noted[run.name] = run


def _is_news(run: ChoreRun, before: ChoreRun) -> bool:
    if run.n_done or bool(run.error) != bool(before.error):
        return True
    # A clock that was set back is news too, or nothing were noted until it is later.
    return _seconds_between(before.ended_at, run.ended_at) >= NOTED_SECONDS


def _seconds_between(one: datetime, other: datetime) -> float:
    return abs((other - one).total_seconds())


def words_of(error: Exception) -> str:
    """What is shown of a failure: words of ours, and always what to do.

    What another library says may quote a data set; of that only the kind is shown.
    """
    if isinstance(error, DicomNodeError):
        words = str(error)
        return words if "; " in words else f"{words}; {_REMEDY}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}; {_REMEDY}"
    return f"{type(error).__name__}; {_REMEDY}"
