"""The repairs of reconcile; each is one transaction with an event."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update

from dicomnode.domain.delivery import DELIVERY_STATES, DeliveryState
from dicomnode.domain.instance import ReceivedInstance
from dicomnode.domain.job import JOB_STATES, JobState
from dicomnode.domain.study import STUDY_STATES
from dicomnode.worklist import state_counts
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.growing import current_revision
from dicomnode.worklist.moves import job_event, may, state_after
from dicomnode.worklist.outbox import UNSENT, move_deliveries
from dicomnode.worklist.recording import record_all
from dicomnode.worklist.schema import deliveries, instances, jobs, results, revisions
from dicomnode.worklist.upkeep import Upkeep

RERUN_SECONDS = 3600
"""What a job that makes a lost result again may take before that result is sent."""

_UNSENT = (
    DeliveryState.PENDING.value,
    DeliveryState.FAILED.value,
    DeliveryState.REJECTED.value,
)


class Mender:
    """Implements ``ports.Mender``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, instances: Sequence[ReceivedInstance]) -> None:
        """Record instances whose files were found, as if they had just come."""
        with self._database.write() as transaction:
            record_all(transaction, instances)
            for one in instances:
                uid = one.key.study_instance_uid
                detail = f"{one.key.sop_instance_uid} found as {one.stored.location}"
                at, kind = one.received_at, "instance register"
                transaction.note(Event(at, kind, None, uid, detail=detail))

    def mark_missing(self, location: str, why: str, now: datetime) -> None:
        """Note that the file of an instance is lost."""
        marked = (
            update(instances)
            .where(instances.c.location == location)
            .where(instances.c.forgotten_at.is_(None))
            .values(forgotten_at=now, missing_at=now)
        )
        with self._database.write() as transaction:
            detail = f"{location}: {why or 'the file is gone'}; send it again"
            _mark(transaction, marked, "instance missing", detail, now)

    def mark_found(self, location: str, now: datetime) -> None:
        """Note that the file of an instance or result is there again."""
        found = (
            update(instances)
            .where(instances.c.location == location)
            .where(instances.c.missing_at.is_not(None))
            .values(forgotten_at=None, missing_at=None)
        )
        with self._database.write() as transaction:
            _mark(transaction, found, "instance found", location, now)
            transaction.execute(
                update(results)
                .where(results.c.location == location)
                .values(missing_at=None)
            )

    def result_missing(self, location: str, now: datetime) -> None:
        """Run its job again if a result was not sent yet; otherwise mark it."""
        with self._database.write() as transaction:
            rows = transaction.rows(
                select(results.c.result_id, jobs.c.job_id, jobs.c.state)
                .add_columns(jobs.c.study_instance_uid)
                .join(jobs, jobs.c.job_id == results.c.job_id)
                .where(results.c.location == location)
            )
            for row in rows:
                if row.state == JobState.COMPLETED.value and _waits(transaction, row):
                    _rerun(transaction, row.job_id, row.study_instance_uid, now)
                else:
                    _mark_result(transaction, row, location, now)

    def result_removed(self, location: str, now: datetime) -> None:
        """An event for a file that no result names and that was removed."""
        study = location.split("/")[1]
        with self._database.write() as transaction:
            transaction.note(Event(now, "result remove", None, study, detail=location))

    def rerun(self, job_id: str, now: datetime) -> None:
        """COMPLETED -> SCHEDULED."""
        with self._database.write() as transaction:
            for row in transaction.rows(
                select(jobs.c.study_instance_uid).where(jobs.c.job_id == job_id)
            ):
                _rerun(transaction, job_id, row.study_instance_uid, now)

    def route_again(self, study_instance_uid: str, now: datetime) -> None:
        """ROUTED without a job -> COMPLETE."""
        with self._database.write() as transaction:
            revision = current_revision(transaction, study_instance_uid)
            state = state_after(STUDY_STATES, "repair")
            changed = transaction.execute(
                update(revisions)
                .where(revisions.c.study_instance_uid == study_instance_uid)
                .where(revisions.c.revision == revision)
                .where(may(STUDY_STATES, revisions.c.state, "repair"))
                .values(state=state, routed_at=None)
            )
            if changed.rowcount:
                kind, uid = "study repair", study_instance_uid
                transaction.note(Event(now, kind, state, uid, detail="by reconcile"))

    def give_back(self, now: datetime, max_attempts: int) -> None:
        """Jobs whose lease has ended -> SCHEDULED, or FAILED."""
        Upkeep(self._database).reap(now, max_attempts)

    def count_again(self, now: datetime) -> None:
        """Make the counts by state right."""
        with self._database.write() as transaction:
            found = state_counts.correct(transaction)
            if found:
                detail = state_counts.as_text(found)
                transaction.note(Event(now, "node count", None, detail=detail))


def _mark(
    transaction: Transaction, change: Any, kind: str, detail: str, now: datetime
) -> None:
    changed = transaction.rows(
        change.returning(instances.c.study_instance_uid, instances.c.sop_instance_uid)
    )
    for row in changed:
        uid = row.study_instance_uid
        about = f"{row.sop_instance_uid} {detail}"
        transaction.note(Event(now, kind, None, uid, detail=about))


def _waits(transaction: Transaction, row: Row[Any]) -> bool:
    """Whether a result has yet to reach one of its destinations."""
    unsent = select(deliveries.c.delivery_id).where(
        deliveries.c.result_id == row.result_id, deliveries.c.state.in_(_UNSENT)
    )
    return bool(transaction.rows(unsent))


def _mark_result(
    transaction: Transaction, row: Row[Any], location: str, now: datetime
) -> None:
    transaction.execute(
        update(results)
        .where(results.c.result_id == row.result_id)
        .values(missing_at=now)
    )
    kind, uid = "result missing", row.study_instance_uid
    transaction.note(Event(now, kind, None, uid, row.job_id, location))


def _rerun(
    transaction: Transaction, job_id: str, study_instance_uid: str, now: datetime
) -> None:
    """The same ``scheduled_at``, so that the job makes the same bytes again."""
    state = state_after(JOB_STATES, "rerun")
    changed = transaction.execute(
        update(jobs)
        .where(jobs.c.job_id == job_id, may(JOB_STATES, jobs.c.state, "rerun"))
        .values(
            state=state,
            outcome=None,
            reason="",
            attempts=0,
            not_before=now,
            finished_at=None,
        )
    )
    if not changed.rowcount:
        return
    owner = (job_id, study_instance_uid)
    transaction.note(job_event(owner, "rerun", state, now, "by reconcile"))
    _send_later(transaction, job_id, now)


def _send_later(transaction: Transaction, job_id: str, now: datetime) -> None:
    """What has failed for want of its file is sent when that is there again."""
    later = now + timedelta(seconds=RERUN_SECONDS)
    failed = may(DELIVERY_STATES, deliveries.c.state, "retry")
    of_job = deliveries.c.job_id == job_id
    values: dict[str, object] = {**UNSENT, "next_attempt_at": later, "checks": 0}
    move_deliveries(transaction, of_job & failed, "retry", now, values, "by reconcile")
    waiting = of_job & (deliveries.c.state == DeliveryState.PENDING.value)
    transaction.execute(update(deliveries).where(waiting).values(next_attempt_at=later))
