"""The rows of backfills: what was found, asked for, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select, update

from dicomnode.domain.backfill import (
    BACKFILL_PRIORITY,
    BACKFILL_STATES,
    Backfill,
    BackfillState,
    BackfillStudy,
    FoundStudy,
    JobStanding,
    NewBackfill,
    RunState,
    Standing,
)
from dicomnode.domain.desk import said
from dicomnode.domain.job import JobState, Outcome
from dicomnode.domain.study import StudyState
from dicomnode.errors import UnknownStudy
from dicomnode.worklist.backfill_tables import backfill_studies, backfills
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.moves import may
from dicomnode.worklist.rows import current_revisions
from dicomnode.worklist.schema import jobs, revisions

_HALF = BACKFILL_PRIORITY // 2
"""Below it lies the priority of no other job."""


class Backfills:
    """Implements ``ports.Backfills``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, new: NewBackfill, holder: str, now: datetime, by: str) -> Backfill:
        """Note a new backfill, RUNNING."""
        values = {
            "backfill_id": new.backfill_id,
            "archive": new.archive,
            "query": json.dumps(dict(new.query)),
            "most_studies": new.limit,
            "state": RunState.RUNNING.value,
            "holder": holder,
            "started_at": now,
            "heartbeat_at": now,
        }
        with self._database.write() as transaction:
            transaction.insert(backfills, [values])
            _note(transaction, new.backfill_id, "start", now, said(by))
        return Backfill(new.backfill_id, new.archive, new.query, new.limit, None)

    def take(self, backfill_id: str, holder: str, now: datetime, by: str) -> Backfill:
        """Go on with one, also if its process has died; the failed are FOUND again.

        Raises UnknownStudy when there is none of this id.
        """
        with self._database.write() as transaction:
            row = _row(transaction, backfill_id)
            values = {"state": RunState.RUNNING.value, "holder": holder}
            _set(transaction, backfill_id, {**values, "heartbeat_at": now, **_OPEN})
            for event in ("put back", "retry"):
                transaction.execute(
                    update(backfill_studies)
                    .where(backfill_studies.c.backfill_id == backfill_id)
                    .where(may(BACKFILL_STATES, backfill_studies.c.state, event))
                    .values(state=BackfillState.FOUND.value, changed_at=now)
                )
            _note(transaction, backfill_id, "resume", now, said(by))
        query = json.loads(row.query)
        return Backfill(backfill_id, row.archive, query, row.most_studies, row.found_at)

    def add(self, backfill_id: str, found: Sequence[FoundStudy]) -> int:
        """Keep studies that were found; how many are new."""
        with self._database.write() as transaction:
            return sum(_add(transaction, backfill_id, one) for one in found)

    def all_found(self, backfill_id: str, now: datetime) -> None:
        """The archive has told everything."""
        with self._database.write() as transaction:
            _set(transaction, backfill_id, {"found_at": now})

    def still_ours(self, backfill_id: str, holder: str, now: datetime) -> bool:
        """A sign of life; False: someone has asked it to stop, or has taken it over."""
        with self._database.write() as transaction:
            changed = transaction.execute(
                update(backfills)
                .where(_held(backfill_id, holder))
                .where(backfills.c.stop_asked_at.is_(None))
                .values(heartbeat_at=now)
            )
            return changed.rowcount == 1

    def next(self, backfill_id: str) -> BackfillStudy | None:
        """The next study to ask for: the one that was asked for least often."""
        wanted = _studies(backfill_id, BackfillState.FOUND).limit(1)
        with self._database.read() as connection:
            row = connection.execute(wanted).first()
        return None if row is None else _study_of(row)

    def received(self, backfill_id: str) -> Sequence[BackfillStudy]:
        """Studies that came and whose end is not known."""
        with self._database.read() as connection:
            found = connection.execute(_studies(backfill_id, BackfillState.RECEIVED))
            return [_study_of(row) for row in found]

    def move(
        self,
        backfill_id: str,
        study: BackfillStudy,
        event: str,
        why: str,
        now: datetime,
    ) -> BackfillStudy:
        """One arrow of ``BACKFILL_STATES``, with its event; the study as it is now."""
        after = BACKFILL_STATES.after(study.state, event)
        uid, state = study.study_instance_uid, after.value
        asks = 1 if event == "ask" else 0
        with self._database.write() as transaction:
            changed = transaction.execute(
                update(backfill_studies)
                .where(backfill_studies.c.backfill_id == backfill_id)
                .where(backfill_studies.c.study_instance_uid == uid)
                .where(backfill_studies.c.state == study.state.value)
                .values(
                    state=state,
                    reason=why,
                    changed_at=now,
                    attempts=backfill_studies.c.attempts + asks,
                )
            )
            if changed.rowcount == 1:
                detail = f"{backfill_id}: {why}" if why else backfill_id
                kind = f"backfill {event}"
                transaction.note(Event(now, kind, state, uid, detail=detail))
        return replace(study, state=after, attempts=study.attempts + asks)

    def end(
        self, backfill_id: str, holder: str, state: RunState, detail: str, now: datetime
    ) -> None:
        """The process is done with it, unless another has taken it over."""
        with self._database.write() as transaction:
            changed = transaction.execute(
                update(backfills)
                .where(_held(backfill_id, holder))
                .values(state=state.value, detail=detail, finished_at=now)
            )
            if changed.rowcount == 1:
                about = f"{state.value}: {detail}" if detail else state.value
                _note(transaction, backfill_id, "end", now, about)

    def stop(self, backfill_id: str, now: datetime, by: str) -> bool:
        """Ask it to stop; False: it does not run. Raises UnknownStudy."""
        with self._database.write() as transaction:
            row = _row(transaction, backfill_id)
            if row.state != RunState.RUNNING.value:
                return False
            _set(transaction, backfill_id, {"stop_asked_at": now})
            _note(transaction, backfill_id, "stop", now, said(by))
            return True

    def pause(self, backfill_id: str, now: datetime, by: str) -> bool:
        """Let it ask for nothing until it goes on; False: it is paused, or has ended.

        Raises UnknownStudy.
        """
        return self._paused(backfill_id, "pause", now, by)

    def go_on(self, backfill_id: str, now: datetime, by: str) -> bool:
        """End its pause; False: it had none. Raises UnknownStudy."""
        return self._paused(backfill_id, "go on", now, by)

    def _paused(self, backfill_id: str, what: str, now: datetime, by: str) -> bool:
        pauses = what == "pause"
        with self._database.write() as transaction:
            row = _row(transaction, backfill_id)
            ended = row.state != RunState.RUNNING.value
            if pauses == (row.paused_at is not None) or (pauses and ended):
                return False
            _set(transaction, backfill_id, {"paused_at": now if pauses else None})
            _note(transaction, backfill_id, what, now, said(by))
            return True

    def is_paused(self, backfill_id: str) -> bool:
        """Whether it is to ask for nothing now."""
        wanted = select(backfills.c.paused_at).where(
            backfills.c.backfill_id == backfill_id
        )
        with self._database.read() as connection:
            return connection.execute(wanted).scalar() is not None

    def standing(self, study_instance_uid: str) -> Standing:
        """What the node has of a study."""
        current = current_revisions.where(
            revisions.c.study_instance_uid == study_instance_uid
        )
        with self._database.read() as connection:
            row = connection.execute(current).first()
            if row is None:
                return Standing(None)
            found = connection.execute(
                select(jobs)
                .where(jobs.c.study_instance_uid == study_instance_uid)
                .where(jobs.c.revision == row.revision)
                .order_by(jobs.c.pipeline)
            )
            standing = tuple(_job_of(one) for one in found)
        return Standing(StudyState(row.state), row.reason, row.n_instances, standing)

    def n_waiting(self) -> int:
        """Jobs of backfilled studies that wait for a worker."""
        wanted = (
            select(func.count())
            .select_from(jobs)
            .where(jobs.c.state == JobState.SCHEDULED.value)
            .where(jobs.c.priority < _HALF)
        )
        with self._database.read() as connection:
            return connection.execute(wanted).scalar() or 0


_OPEN = {"stop_asked_at": None, "finished_at": None, "detail": "", "paused_at": None}


def _held(backfill_id: str, holder: str) -> ColumnElement[bool]:
    return (backfills.c.backfill_id == backfill_id) & (backfills.c.holder == holder)


def _row(transaction: Transaction, backfill_id: str) -> Row[Any]:
    found = transaction.rows(
        select(backfills).where(backfills.c.backfill_id == backfill_id)
    )
    if not found:
        message = f"no backfill {backfill_id}; `dicomnode backfill status` shows them"
        raise UnknownStudy(message)
    return found[0]


def _set(transaction: Transaction, backfill_id: str, values: dict[str, Any]) -> None:
    transaction.execute(
        update(backfills).where(backfills.c.backfill_id == backfill_id).values(values)
    )


def _note(
    transaction: Transaction, backfill_id: str, what: str, now: datetime, detail: str
) -> None:
    about = f"{backfill_id} {detail}".rstrip()
    transaction.note(Event(now, f"node backfill {what}", None, detail=about))


def _add(transaction: Transaction, backfill_id: str, found: FoundStudy) -> bool:
    # Asked row by row: SQLite's quick way knows keys of one column only.
    key = (
        backfill_studies.c.backfill_id == backfill_id,
        backfill_studies.c.study_instance_uid == found.study_instance_uid,
    )
    if transaction.rows(select(backfill_studies.c.state).where(*key)):
        return False
    values = {
        "backfill_id": backfill_id,
        "study_instance_uid": found.study_instance_uid,
        "n_instances": found.n_instances,
        "state": BackfillState.FOUND.value,
    }
    transaction.insert(backfill_studies, [values])
    return True


def _studies(backfill_id: str, state: BackfillState) -> Any:
    return (
        select(backfill_studies)
        .where(backfill_studies.c.backfill_id == backfill_id)
        .where(backfill_studies.c.state == state.value)
        .order_by(backfill_studies.c.attempts, backfill_studies.c.study_instance_uid)
    )


def _study_of(row: Row[Any]) -> BackfillStudy:
    return BackfillStudy(
        row.study_instance_uid, row.n_instances, BackfillState(row.state), row.attempts
    )


def _job_of(row: Row[Any]) -> JobStanding:
    return JobStanding(
        pipeline=row.pipeline,
        state=JobState(row.state),
        outcome=Outcome(row.outcome) if row.outcome else None,
        why=row.error or row.reason,
        settled=row.followed_at is not None,
    )
