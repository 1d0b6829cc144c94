"""The view of assembler and router: studies become complete and are routed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any

from sqlalchemy import BindParameter, Column, Row, bindparam, select, update

from dicomnode.domain.findings import Presence
from dicomnode.domain.following import FinishedJob
from dicomnode.domain.instance import Instance
from dicomnode.domain.job import JobState, NewJob, Outcome
from dicomnode.domain.study import STUDY_STATES, Study, StudyState
from dicomnode.worklist.backfill_tables import is_backfilled
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.growing import current_revision
from dicomnode.worklist.moves import job_event, may, state_after
from dicomnode.worklist.prepared import Prepared
from dicomnode.worklist.rows import instances_of, studies_in
from dicomnode.worklist.schema import jobs, revisions, studies

_FLAG = "backfilled"
_NOTHING: Mapping[str, object] = MappingProxyType({})


class Studies:
    """Implements ``ports.Studies``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def receiving(self) -> Sequence[Study]:
        """Studies in RECEIVING, the longest waiting first."""
        with self._database.read() as connection:
            return studies_in(connection, StudyState.RECEIVING)

    def unrouted(self) -> Sequence[Study]:
        """Studies in COMPLETE that nobody holds, the longest waiting first."""
        with self._database.read() as connection:
            return studies_in(connection, StudyState.COMPLETE, held=False)

    def instances(self, study_instance_uid: str) -> Sequence[Instance]:
        """The current instances of a study, in order of arrival."""
        with self._database.read() as connection:
            return instances_of(connection, study_instance_uid)

    def complete(self, study: Study, now: datetime) -> bool:
        """RECEIVING -> COMPLETE; False when an instance came in the meantime."""
        with self._database.write() as transaction:
            return _complete(transaction, study, now)

    def pass_on(
        self, study: Study, jobs: Sequence[NewJob], reason: str, now: datetime
    ) -> StudyState | None:
        """`complete` and `route` in one transaction; the state that was reached."""
        with self._database.write() as transaction:
            if not _complete(transaction, study, now):
                return None
            if _is_held(transaction, study):
                return StudyState.COMPLETE
            _route(transaction, study, jobs, reason, now)
            return StudyState.ROUTED if jobs else StudyState.NOT_ROUTED

    def route(
        self, study: Study, jobs: Sequence[NewJob], reason: str, now: datetime
    ) -> bool:
        """COMPLETE -> ROUTED with ``jobs``, or NOT_ROUTED with ``reason`` if none."""
        with self._database.write() as transaction:
            return _route(transaction, study, jobs, reason, now)

    def unfollowed(self, limit: int) -> Sequence[FinishedJob]:
        """COMPLETED jobs that the router has not looked at since, the oldest first."""
        with self._database.read() as connection:
            found = connection.execute(
                select(jobs, is_backfilled(jobs.c.study_instance_uid).label(_FLAG))
                .where(jobs.c.followed_at.is_(None))
                .where(jobs.c.state == JobState.COMPLETED.value)
                .order_by(jobs.c.finished_at, jobs.c.job_id)
                .limit(limit)
            )
            return [_finished_of(row) for row in found]

    def follow(
        self,
        job: FinishedJob,
        followers: Sequence[NewJob],
        skipped: Sequence[str],
        now: datetime,
    ) -> bool:
        """Schedule the followers of ``job``; an event tells of each one skipped."""
        uid = job.study_instance_uid
        with self._database.write() as transaction:
            current = current_revision(transaction, uid) == job.revision
            if not (_mark_followed(transaction, job, now) and current):
                return False
            for detail in skipped:
                transaction.note(Event(now, "job skip", None, uid, job.job_id, detail))
            for follower in followers:
                _schedule(transaction, follower, now)
            return True


def _complete(transaction: Transaction, study: Study, now: datetime) -> bool:
    # Nothing has come since we looked.
    seen = {
        "n_instances": study.n_instances,
        "last_instance_at": study.last_instance_at,
    }
    if not _move(transaction, study, "complete", {"completed_at": now}, seen):
        return False
    transaction.note(_study_event(study, "complete", now))
    return True


def _route(
    transaction: Transaction,
    study: Study,
    jobs: Sequence[NewJob],
    reason: str,
    now: datetime,
) -> bool:
    event = "route" if jobs else "leave"
    reason = "" if jobs else reason
    if not _move(transaction, study, event, {"routed_at": now, "reason": reason}):
        return False
    transaction.note(_study_event(study, event, now, reason))
    for job in jobs:
        _schedule(transaction, job, now)
    return True


_HELD = Prepared(
    select(studies.c.study_instance_uid)
    .where(studies.c.study_instance_uid == bindparam("uid"))
    .where(studies.c.held_at.is_not(None))
)


def _is_held(transaction: Transaction, study: Study) -> bool:
    return bool(transaction.run(_HELD, [{"uid": study.study_instance_uid}]))


def _move(
    transaction: Transaction,
    study: Study,
    event: str,
    values: Mapping[str, object],
    seen: Mapping[str, object] = _NOTHING,
) -> bool:
    """Move the revision that ``study`` shows, if it still is the current one.

    ``seen``: columns that must not have changed.
    """
    uid = study.study_instance_uid
    if current_revision(transaction, uid) != study.revision:
        return False
    moving = _moving(event, tuple(values), tuple(seen))
    new = {f"new_{name}": value for name, value in values.items()}
    old = {f"old_{name}": value for name, value in seen.items()}
    which = {"uid": uid, "number": study.revision}
    return bool(transaction.run(moving, [{**which, **new, **old}]))


@cache
def _moving(event: str, names: tuple[str, ...], seen: tuple[str, ...]) -> Prepared:
    columns = revisions.c
    new = {name: _of(columns[name], "new") for name in names}
    unchanged = (columns[name] == _of(columns[name], "old") for name in seen)
    return Prepared(
        update(revisions)
        .where(columns.study_instance_uid == bindparam("uid"))
        .where(columns.revision == bindparam("number"))
        .where(may(STUDY_STATES, columns.state, event), *unchanged)
        .values(state=state_after(STUDY_STATES, event), **new)
        .returning(columns.revision)
    )


def _of(column: Column[Any], which: str) -> BindParameter[Any]:
    return bindparam(f"{which}_{column.name}", type_=column.type)


def _mark_followed(transaction: Transaction, job: FinishedJob, now: datetime) -> bool:
    marked = transaction.execute(
        update(jobs)
        .where(jobs.c.job_id == job.job_id, jobs.c.followed_at.is_(None))
        .values(followed_at=now)
    )
    return marked.rowcount == 1


def _finished_of(row: Row[Any]) -> FinishedJob:
    found = json.loads(row.findings or "{}")
    return FinishedJob(
        job_id=row.job_id,
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        pipeline=row.pipeline,
        outcome=Outcome(row.outcome),
        findings={label: Presence(presence) for label, presence in found.items()},
        backfilled=bool(row.backfilled),
    )


def _study_event(study: Study, event: str, now: datetime, reason: str = "") -> Event:
    return Event(
        at=now,
        kind=f"study {event}",
        state=state_after(STUDY_STATES, event),
        study_instance_uid=study.study_instance_uid,
        detail=f"revision {study.revision}" + (f": {reason}" if reason else ""),
    )


def _schedule(transaction: Transaction, job: NewJob, now: datetime) -> None:
    values = {
        "job_id": job.job_id,
        "study_instance_uid": job.study_instance_uid,
        "revision": job.revision,
        "pipeline": job.pipeline,
        "priority": job.priority,
        "state": JobState.SCHEDULED.value,
        "scheduled_at": now,
        "not_before": now,
    }
    # The id is derived from study, revision and pipeline: a reroute finds the job
    # that an earlier routing made.
    if transaction.insert_missing(jobs, values):
        owner = (job.job_id, job.study_instance_uid)
        detail = f"pipeline {job.pipeline}, revision {job.revision}"
        state = JobState.SCHEDULED.value
        transaction.note(job_event(owner, "schedule", state, now, detail))
