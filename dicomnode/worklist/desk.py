"""What an admin may change; each act is an event in the worklist."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Row, select, update

from dicomnode.domain.delivery import DELIVERY_STATES
from dicomnode.domain.job import JOB_STATES, JobState
from dicomnode.domain.study import STUDY_STATES, StudyState
from dicomnode.errors import IllegalTransition, UnknownStudy
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.growing import current_revision
from dicomnode.worklist.moves import job_event, may
from dicomnode.worklist.outbox import UNSENT, move_deliveries
from dicomnode.worklist.schema import deliveries, jobs, revisions


class Desk:
    """Implements ``ports.Desk``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def retry_job(self, job_id: str, now: datetime) -> None:
        """FAILED or CANCELED -> SCHEDULED with a fresh set of attempts.

        Raises UnknownStudy, IllegalTransition.
        """
        fresh = {
            "attempts": 0,
            "not_before": now,
            "scheduled_at": now,
            "finished_at": None,
            "reason": "",
            "error": "",
        }
        self._move_job(job_id, "retry", now, fresh)

    def cancel_job(self, job_id: str, now: datetime) -> None:
        """SCHEDULED -> CANCELED. Raises UnknownStudy, IllegalTransition."""
        values = {"finished_at": now, "reason": "canceled by an admin"}
        self._move_job(job_id, "cancel", now, values)

    def retry_deliveries(self, job_id: str, now: datetime) -> int:
        """FAILED or REJECTED deliveries of a job -> PENDING; how many."""
        return self._revive(job_id, "retry", now)

    def resend_deliveries(self, job_id: str, now: datetime) -> int:
        """SENT, COMMITTED or CANCELED deliveries of a job -> PENDING; how many."""
        return self._revive(job_id, "resend", now)

    def force_complete(self, study_instance_uid: str, now: datetime) -> None:
        """Let a RECEIVING study complete now. Raises UnknownStudy."""
        with self._database.write() as transaction:
            revision = _revision_of(transaction, study_instance_uid)
            changed = transaction.execute(
                update(revisions)
                .where(revisions.c.study_instance_uid == study_instance_uid)
                .where(revisions.c.revision == revision)
                .where(revisions.c.state == StudyState.RECEIVING.value)
                .values(forced=True)
            )
            if changed.rowcount == 1:
                state = StudyState.RECEIVING.value
                uid = study_instance_uid
                transaction.note(Event(now, "study force complete", state, uid))

    def reroute(self, study_instance_uid: str, now: datetime) -> None:
        """NOT_ROUTED -> COMPLETE, for rules that changed.

        Raises UnknownStudy, IllegalTransition.
        """
        with self._database.write() as transaction:
            revision = _revision_of(transaction, study_instance_uid)
            this = (revisions.c.study_instance_uid == study_instance_uid) & (
                revisions.c.revision == revision
            )
            row = transaction.rows(select(revisions.c.state).where(this))[0]
            state = STUDY_STATES.after(StudyState(row.state), "reroute").value
            values = {"state": state, "reason": "", "routed_at": None}
            transaction.execute(update(revisions).where(this).values(values))
            kind = "study reroute"
            transaction.note(Event(now, kind, state, study_instance_uid))

    def _move_job(
        self, job_id: str, event: str, now: datetime, values: dict[str, object]
    ) -> None:
        with self._database.write() as transaction:
            row = _job_row(transaction, job_id)
            state = JOB_STATES.after(JobState(row.state), event).value
            changed = transaction.execute(
                update(jobs)
                .where(jobs.c.job_id == job_id, may(JOB_STATES, jobs.c.state, event))
                .values(state=state, **values)
            )
            if changed.rowcount != 1:
                message = f"job {job_id} has just moved on; see `dicomnode show`"
                raise IllegalTransition(message)
            owner = (job_id, row.study_instance_uid)
            transaction.note(job_event(owner, event, state, now))

    def _revive(self, job_id: str, event: str, now: datetime) -> int:
        fresh: dict[str, object] = {**UNSENT, "next_attempt_at": now, "checks": 0}
        which = (deliveries.c.job_id == job_id) & may(
            DELIVERY_STATES, deliveries.c.state, event
        )
        with self._database.write() as transaction:
            _job_row(transaction, job_id)
            return move_deliveries(transaction, which, event, now, fresh)


def _job_row(transaction: Transaction, job_id: str) -> Row[tuple[str, str]]:
    found = transaction.rows(
        select(jobs.c.state, jobs.c.study_instance_uid)
        .where(jobs.c.job_id == job_id)
        .with_for_update()
    )
    if not found:
        raise UnknownStudy(f"no job {job_id}; list the jobs with `dicomnode list`")
    return found[0]


def _revision_of(transaction: Transaction, study_instance_uid: str) -> int:
    revision = current_revision(transaction, study_instance_uid)
    if revision is None:
        message = f"no study {study_instance_uid}; list them with `dicomnode list`"
        raise UnknownStudy(message)
    return revision
