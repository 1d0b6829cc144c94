"""What an admin may change; each act is an event in the worklist."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update

from dicomnode.domain.delivery import DELIVERY_STATES, DeliveryState
from dicomnode.domain.desk import said
from dicomnode.domain.job import JOB_STATES, JobState
from dicomnode.domain.study import STUDY_STATES, StudyState
from dicomnode.errors import IllegalTransition
from dicomnode.worklist.engine import Database, Event
from dicomnode.worklist.lookups import job_row, revision_of
from dicomnode.worklist.moves import job_event, may
from dicomnode.worklist.outbox import UNSENT, move_deliveries
from dicomnode.worklist.schema import deliveries, jobs, revisions


class Desk:
    """Implements ``ports.Desk``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def retry_job(self, job_id: str, now: datetime, by: str = "") -> None:
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
        self._move_job(job_id, "retry", now, fresh, by)

    def cancel_job(self, job_id: str, now: datetime, by: str = "") -> None:
        """SCHEDULED -> CANCELED. Raises UnknownStudy, IllegalTransition."""
        values = {"finished_at": now, "reason": "canceled by an admin"}
        self._move_job(job_id, "cancel", now, values, by)

    def retry_deliveries(self, job_id: str, now: datetime, by: str = "") -> int:
        """FAILED or REJECTED deliveries of a job -> PENDING; how many."""
        return self._revive(job_id, "retry", now, by)

    def resend_deliveries(
        self, job_id: str, now: datetime, by: str = "", destination: str = ""
    ) -> int:
        """SENT or COMMITTED deliveries of a job -> PENDING; how many.

        Those of one ``destination``, if it is named. What is CANCELED was not sent for
        a reason and stays so.
        """
        return self._revive(job_id, "resend", now, by, destination)

    def force_complete(
        self, study_instance_uid: str, now: datetime, by: str = ""
    ) -> None:
        """Let a RECEIVING study complete now. Raises UnknownStudy."""
        with self._database.write() as transaction:
            revision = revision_of(transaction, study_instance_uid)
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
                kind, detail = "study force complete", said(by)
                transaction.note(Event(now, kind, state, uid, detail=detail))

    def reroute(self, study_instance_uid: str, now: datetime, by: str = "") -> None:
        """NOT_ROUTED -> COMPLETE, for rules that changed.

        Raises UnknownStudy, IllegalTransition.
        """
        with self._database.write() as transaction:
            revision = revision_of(transaction, study_instance_uid)
            this = (revisions.c.study_instance_uid == study_instance_uid) & (
                revisions.c.revision == revision
            )
            row = transaction.rows(select(revisions.c.state).where(this))[0]
            state = STUDY_STATES.after(StudyState(row.state), "reroute").value
            values = {"state": state, "reason": "", "routed_at": None}
            transaction.execute(update(revisions).where(this).values(values))
            kind, uid = "study reroute", study_instance_uid
            transaction.note(Event(now, kind, state, uid, detail=said(by)))

    def _move_job(
        self,
        job_id: str,
        event: str,
        now: datetime,
        values: dict[str, object],
        by: str,
    ) -> None:
        with self._database.write() as transaction:
            row = job_row(transaction, job_id)
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
            transaction.note(job_event(owner, event, state, now, said(by)))

    def _revive(
        self, job_id: str, event: str, now: datetime, by: str, destination: str = ""
    ) -> int:
        fresh: dict[str, object] = {**UNSENT, "next_attempt_at": now, "checks": 0}
        which = (deliveries.c.job_id == job_id) & may(
            DELIVERY_STATES, deliveries.c.state, event
        )
        if event == "resend":
            which &= deliveries.c.state != DeliveryState.CANCELED.value
        if destination:
            which &= deliveries.c.destination == destination
        with self._database.write() as transaction:
            job_row(transaction, job_id)
            return move_deliveries(transaction, which, event, now, fresh, said(by))
