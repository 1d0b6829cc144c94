"""What an admin keeps back: held studies and jobs, paused work, a drained receiver.

A hold names one study or job; a pause is of everything, or of one pipeline. Neither
stops what a worker has in hand: it ends as it would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy import true as always

from dicomnode.domain.desk import Pause, Service, said
from dicomnode.domain.job import JobState
from dicomnode.errors import IllegalTransition
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.lookups import job_row, revision_of
from dicomnode.worklist.moves import job_event
from dicomnode.worklist.node_tables import pauses
from dicomnode.worklist.schema import jobs, revisions, studies

_OPEN = (JobState.SCHEDULED.value, JobState.IN_PROGRESS.value)


def not_held() -> ColumnElement[bool]:
    """The condition that neither a job nor its study is held."""
    held_study = exists().where(
        studies.c.study_instance_uid == jobs.c.study_instance_uid,
        studies.c.held_at.is_not(None),
    )
    return jobs.c.held_at.is_(None) & ~held_study


def not_paused() -> ColumnElement[bool]:
    """The condition that the pipeline of a job is not paused."""
    paused = exists().where(
        pauses.c.service == Service.WORK.value,
        or_(pauses.c.pipeline == "", pauses.c.pipeline == jobs.c.pipeline),
    )
    return ~paused


class Holds:
    """Implements ``ports.Holds``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold_job(self, job_id: str, now: datetime, by: str = "") -> bool:
        """Keep a job from being claimed; False: it was held already.

        Raises UnknownStudy, IllegalTransition for a job that has ended.
        """
        with self._database.write() as transaction:
            row = job_row(transaction, job_id)
            if row.state not in _OPEN:
                message = (
                    f"job {job_id} is {row.state}, there is nothing to hold; "
                    "see `dicomnode show`"
                )
                raise IllegalTransition(message)
            return _set_job(transaction, job_id, "hold", now, by)

    def release_job(self, job_id: str, now: datetime, by: str = "") -> bool:
        """Let a held job be claimed; False: it was not held. Raises UnknownStudy."""
        with self._database.write() as transaction:
            job_row(transaction, job_id)
            return _set_job(transaction, job_id, "release", now, by)

    def hold_study(self, study_instance_uid: str, now: datetime, by: str = "") -> bool:
        """Keep a study from being routed, and its jobs from being claimed.

        False: it was held already. Raises UnknownStudy.
        """
        with self._database.write() as transaction:
            revision_of(transaction, study_instance_uid)
            return set_study_hold(transaction, study_instance_uid, "hold", now, by)

    def release_study(
        self, study_instance_uid: str, now: datetime, by: str = ""
    ) -> bool:
        """Let a held study go on, with each of its jobs that is held.

        False: nothing of it was held. Raises UnknownStudy.
        """
        with self._database.write() as transaction:
            revision_of(transaction, study_instance_uid)
            held = transaction.rows(
                select(jobs.c.job_id)
                .where(jobs.c.study_instance_uid == study_instance_uid)
                .where(jobs.c.held_at.is_not(None))
            )
            for row in held:
                _set_job(transaction, row.job_id, "release", now, by)
            released = set_study_hold(
                transaction, study_instance_uid, "release", now, by
            )
            return released or bool(held)


def set_study_hold(
    transaction: Transaction,
    study_instance_uid: str,
    event: str,
    now: datetime,
    by: str,
) -> bool:
    """Hold or release a study, with an event; False: it was so already."""
    before, at = _before(event, now)
    changed = transaction.execute(
        update(studies)
        .where(studies.c.study_instance_uid == study_instance_uid)
        .where(studies.c.held_at.is_(None) == before)
        .values(held_at=at)
    )
    if changed.rowcount != 1:
        return False
    state = transaction.rows(
        select(revisions.c.state)
        .join(
            studies,
            (studies.c.study_instance_uid == revisions.c.study_instance_uid)
            & (studies.c.revision == revisions.c.revision),
        )
        .where(studies.c.study_instance_uid == study_instance_uid)
    )[0].state
    uid = study_instance_uid
    transaction.note(Event(now, f"study {event}", state, uid, detail=said(by)))
    return True


def _set_job(
    transaction: Transaction, job_id: str, event: str, now: datetime, by: str
) -> bool:
    before, at = _before(event, now)
    changed = transaction.rows(
        update(jobs)
        .where(jobs.c.job_id == job_id, jobs.c.held_at.is_(None) == before)
        .values(held_at=at)
        .returning(jobs.c.state, jobs.c.study_instance_uid)
    )
    for row in changed:
        owner = (job_id, row.study_instance_uid)
        transaction.note(job_event(owner, event, row.state, now, said(by)))
    return bool(changed)


def _before(event: str, now: datetime) -> tuple[bool, datetime | None]:
    """Whether ``held_at`` must be empty before, and what it is afterwards."""
    return (True, now) if event == "hold" else (False, None)


class Pauses:
    """Implements ``ports.Pauses``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pause(self, pause: Pause, by: str = "") -> bool:
        """Stop a service until it is resumed; False: it was stopped already."""
        values = {
            "service": pause.service.value,
            "pipeline": pause.pipeline,
            "paused_at": pause.paused_at,
            "detail": said(by, pause.detail),
        }
        with self._database.write() as transaction:
            if not transaction.insert_missing(pauses, values):
                return False
            kind = "node drain" if pause.service is Service.RECEIVE else "node pause"
            detail = f"{pause.pipeline or 'everything'} {said(by, pause.detail)}"
            transaction.note(Event(pause.paused_at, kind, None, detail=detail.rstrip()))
            return True

    def resume(self, now: datetime, pipeline: str = "", by: str = "") -> int:
        """End the pause of ``pipeline``; "": every pause, and the drain; how many."""
        which = pauses.c.pipeline == pipeline if pipeline else always()
        with self._database.write() as transaction:
            gone = transaction.rows(
                delete(pauses)
                .where(which)
                .returning(pauses.c.service, pauses.c.pipeline)
            )
            for row in gone:
                what = row.pipeline or f"all {row.service}"
                detail = f"{what} {said(by)}".rstrip()
                transaction.note(Event(now, "node resume", None, detail=detail))
            return len(gone)

    def all(self) -> Sequence[Pause]:
        """What is stopped now."""
        with self._database.read() as connection:
            found = connection.execute(select(pauses).order_by(pauses.c.paused_at))
            return [
                Pause(Service(one.service), one.paused_at, one.pipeline, one.detail)
                for one in found
            ]

    def draining(self) -> bool:
        """Whether nothing more is to be received."""
        wanted = select(func.count()).where(pauses.c.service == Service.RECEIVE.value)
        with self._database.read() as connection:
            return bool(connection.execute(wanted).scalar())
