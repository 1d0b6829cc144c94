"""The last run of each chore, noted where everybody can see it.

Most runs find nothing to do, and some come every second: such a run is noted once a
minute. One that did something, the first that failed and the first that went well
again are noted at once. A chore is done whether or not it can be noted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from functools import partial
from threading import Lock
from types import TracebackType

import structlog

from dicomnode.domain.chore import NOTED_SECONDS, ChoreRun
from dicomnode.errors import DicomNodeError, WorklistError
from dicomnode.ports import ChoreRuns, Clock

_log = structlog.get_logger(__name__)

_REMEDY = "read the log of `dicomnode keep`"


class Logbook:
    """Runs chores for ``holder`` and notes how that went; from any thread."""

    def __init__(
        self,
        runs: ChoreRuns,
        clock: Clock,
        holder: str,
        every_seconds: Mapping[str, float],
    ) -> None:
        self._runs = runs
        self._clock = clock
        self._holder = holder
        self._every_seconds = every_seconds
        self._noted: dict[str, ChoreRun] = {}
        self._enlisted = False
        self._lock = Lock()

    def stand_by(self) -> None:
        """Another process leads, and notes what it does."""
        self._enlisted = False

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
        before = self._noted.get(run.name)
        if before is not None and not _is_news(run, before):
            return
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
    return abs((run.ended_at - before.ended_at).total_seconds()) >= NOTED_SECONDS


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
