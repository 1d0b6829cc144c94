"""An archive's history comes through the receiver, as fast as the node can take it.

One study is asked for at a time. What is asked for and not yet done with is limited, so
that the archive never fills the disk, and jobs of live studies pass all of it. Every
step is a row before it is taken: a backfill that is killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from time import monotonic

import structlog

from dicomnode.domain.backfill import (
    Backfill,
    BackfillStudy,
    FoundStudy,
    Retrieved,
    RunState,
    after_receiving,
    before_asking,
)
from dicomnode.domain.retry import next_attempt_at
from dicomnode.domain.study import StudyState
from dicomnode.errors import DeliveryError, Unreachable, WorklistError
from dicomnode.ports import Archive, Backfills, Clock, Desk

_log = structlog.get_logger(__name__)

_AT_ONCE = 200
_HOUR = 3600.0
_MOVE_FAILURES = {
    0xA701: "it cannot count the matches; see its log",
    0xA702: "it could not send to us; see its log, and our v1_associations",
    0xA801: "it does not know our AE title as a destination; add us to its AE list",
    0xA900: "it does not offer C-MOVE at study level; choose another archive",
    0xFE00: "it has cancelled; see its log",
}
"""Final status of a C-MOVE (PS3.4 Table C.4-2) -> words and remedy."""
_HOPELESS = (0xA801, 0xA900, 0x0122)
"""As it is with one study it will be with all."""


@dataclass(frozen=True, slots=True)
class BackfillPolicy:
    """How much at once, and how long to wait (seconds).

    ``studies_in_flight``: asked for and not yet analysed. ``max_waiting_jobs``: of
    backfilled studies, whoever brought them. ``per_hour``: studies asked for at most,
    0 is no limit. ``max_attempts``: how often one study is asked for.
    """

    studies_in_flight: int
    max_waiting_jobs: int
    poll_seconds: float
    retry_seconds: tuple[float, ...]
    max_attempts: int = 3
    per_hour: float = 0.0


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a backfill must look at: pauses that can be ended, and the disk.

    ``wait`` waits that many seconds, True when the process is asked to end.
    ``has_room``: whether the disk is well below the watermark.
    """

    wait: Callable[[float], bool]
    has_room: Callable[[], bool]
    clock: Clock
    holder: str


class Backfiller:
    """Brings in the studies of one backfill."""

    def __init__(
        self,
        backfill: Backfill,
        archive: Archive,
        rows: Backfills,
        desk: Desk,
        policy: BackfillPolicy,
        surroundings: Surroundings,
    ) -> None:
        self._backfill = backfill
        self._id = backfill.backfill_id
        self._archive = archive
        self._rows = rows
        self._desk = desk
        self._policy = policy
        self._around = surroundings
        self._asked_at = float("-inf")
        self._refusals = 0

    def run(self) -> RunState:
        """Until every study is done with; STOPPED when told to end before.

        Raises Refused, ConfigError when the archive cannot be worked with at all.
        """
        try:
            state, detail = self._worked()
        except DeliveryError as error:
            self._end(RunState.STOPPED, str(error))
            raise
        self._end(state, detail)
        return state

    def _worked(self) -> tuple[RunState, str]:
        if self._backfill.found_at is None and not self._found_all():
            return RunState.STOPPED, "before all studies were found"
        while self._goes_on():
            self._settle()
            study = self._rows.next(self._id)
            if study is None and not self._rows.received(self._id):
                return RunState.COMPLETED, ""
            pause = self._pause() if study else self._policy.poll_seconds
            if study and not pause:
                pause = self._ask(study)
            if not self._waited(pause):
                break
        return RunState.STOPPED, "asked to stop"

    def _goes_on(self) -> bool:
        now = self._around.clock.now()
        return not self._around.wait(0) and self._rows.still_ours(
            self._id, self._around.holder, now
        )

    def _waited(self, seconds: float) -> bool:
        """Wait, with an eye on who may ask us to stop; False: someone has."""
        until = monotonic() + seconds
        while (rest := until - monotonic()) > 0:
            self._around.wait(min(rest, self._policy.poll_seconds))
            if not self._goes_on():
                return False
        return True

    def _end(self, state: RunState, detail: str) -> None:
        now = self._around.clock.now()
        self._rows.end(self._id, self._around.holder, state, detail, now)
        _log.info("backfill.end", backfill_id=self._id, state=state.value)

    def _found_all(self) -> bool:
        """Keep all that the archive finds; False when told to end."""
        for attempt in self._attempts():
            try:
                if not self._find():
                    return False
            except Unreachable as error:
                _log.warning("backfill.no_answer", error=str(error), attempt=attempt)
                continue
            self._rows.all_found(self._id, self._around.clock.now())
            return True
        return False

    def _attempts(self) -> Iterator[int]:
        """1, 2, ... with the delays of the policy between, until told to end."""
        attempt = 1
        while True:
            yield attempt
            if not self._waited(self._delay(attempt)):
                return
            attempt += 1

    def _delay(self, attempt: int) -> float:
        """The last delay lasts: an archive that is down says nothing of a study."""
        delays, now = self._policy.retry_seconds, self._around.clock.now()
        at = next_attempt_at(min(attempt, len(delays)), delays, now)
        return (at - now).total_seconds() if at else self._policy.poll_seconds

    def _find(self) -> bool:
        found: Iterable[FoundStudy] = self._archive.find(self._backfill.query)
        answers = iter(islice(found, self._backfill.limit or None))
        while portion := list(islice(answers, _AT_ONCE)):
            self._rows.add(self._id, portion)
            if not self._goes_on():
                return False
        return True

    def _settle(self) -> None:
        """Note what has become of the studies that came."""
        for study in self._rows.received(self._id):
            standing = self._rows.standing(study.study_instance_uid)
            event, why = after_receiving(standing)
            if event:
                self._move(study, event, why)

    def _pause(self) -> float:
        """Seconds to wait before the next study may be asked for; 0 is none."""
        policy = self._policy
        n_in_flight = len(self._rows.received(self._id))
        if (
            self._rows.is_paused(self._id)
            or n_in_flight >= policy.studies_in_flight
            or self._rows.n_waiting() >= policy.max_waiting_jobs
            or not self._around.has_room()
        ):
            return policy.poll_seconds
        if not policy.per_hour:
            return 0.0
        rest = self._asked_at + _HOUR / policy.per_hour - monotonic()
        return max(0.0, min(rest, policy.poll_seconds))

    def _ask(self, study: BackfillStudy) -> float:
        """Bring one study in; how long to wait before the next."""
        event, why = before_asking(self._rows.standing(study.study_instance_uid))
        if event:
            self._move(study, event, why)
            return 0.0
        asked = self._move(study, "ask", "")
        self._asked_at = monotonic()
        try:
            answer = self._archive.retrieve(study.study_instance_uid, self._live)
        except Unreachable as error:
            self._refusals += 1
            self._move(asked, "put back", str(error))
            return self._delay(self._refusals)
        self._refusals = 0
        self._note(asked, answer)
        return 0.0

    def _live(self) -> None:
        now = self._around.clock.now()
        self._rows.still_ours(self._id, self._around.holder, now)

    def _note(self, study: BackfillStudy, answer: Retrieved) -> None:
        standing = self._rows.standing(study.study_instance_uid)
        why = _why_not(answer, standing.n_instances)
        if not why:
            # In this order: killed between them, a resume finds it done with.
            if standing.state is StudyState.RECEIVING:
                self._complete(study.study_instance_uid)
            self._move(study, "receive", "")
            return
        if answer.status in _HOPELESS:
            self._move(study, "put back", why)
            raise DeliveryError(f"{self._backfill.archive}: {why}")
        again = study.attempts < self._policy.max_attempts
        self._move(study, "put back" if again else "fail", why)

    def _complete(self, study_instance_uid: str) -> None:
        """The archive has told that this was all of it: no quiet need be waited for."""
        by = f"backfill {self._id}"
        try:
            self._desk.force_complete(study_instance_uid, self._around.clock.now(), by)
        except WorklistError as error:
            _log.warning("backfill.not_completed", error=str(error))

    def _move(self, study: BackfillStudy, event: str, why: str) -> BackfillStudy:
        now = self._around.clock.now()
        return self._rows.move(self._id, study, event, why, now)


def _why_not(answer: Retrieved, n_instances: int) -> str:
    """Why a study has not come as a whole; empty: it has."""
    if answer.why:
        return answer.why
    if answer.n_failed:
        total = answer.n_failed + answer.n_completed + answer.n_warning
        return (
            f"{answer.n_failed} of {total} instances were not taken; see the events "
            "`instance refuse`, then resume the backfill"
        )
    if answer.status not in (0x0000, 0xB000):
        unknown = (
            f"C-MOVE ended with status 0x{answer.status:04X}; see its log, and whether "
            "our AE title, address and port are in its AE list"
        )
        return _MOVE_FAILURES.get(answer.status, unknown)
    if not n_instances:
        return (
            "it says that it has sent, and nothing came; correct our address and port "
            "in its AE list"
        )
    return ""
