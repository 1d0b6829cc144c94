"""The view of housekeeping: lost leases, retention, leadership, the database's log."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    delete,
    exists,
    func,
    or_,
    select,
    tuple_,
    union,
    update,
)

from dicomnode.domain.delivery import DeliveryState
from dicomnode.domain.job import JOB_STATES, JobState
from dicomnode.domain.study import StudyState
from dicomnode.ports import EndedStudy, ExpiredStudy, NodeEvent
from dicomnode.worklist import state_counts
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.moves import job_event, state_after
from dicomnode.worklist.node_tables import leaders
from dicomnode.worklist.schema import (
    deliveries,
    instances,
    jobs,
    results,
    revisions,
    studies,
    workers,
)

_SCHEDULERS = "schedulers"
_STUDY_ENDED = (StudyState.ROUTED.value, StudyState.NOT_ROUTED.value)
_JOB_ENDED_WELL = (JobState.COMPLETED.value, JobState.CANCELED.value)
_DELIVERY_ENDED_WELL = (
    DeliveryState.SENT.value,
    DeliveryState.COMMITTED.value,
    DeliveryState.CANCELED.value,
)


class Upkeep:
    """Implements ``ports.Upkeep``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reap(self, now: datetime, max_attempts: int) -> int:
        """Give back jobs whose lease has ended, FAIL them after too many; how many."""
        stale = (
            select(jobs.c.job_id, jobs.c.study_instance_uid, jobs.c.attempts)
            .where(jobs.c.state == JobState.IN_PROGRESS.value)
            .where(jobs.c.lease_expires_at <= now)
        )
        with self._database.read() as connection:
            if connection.execute(stale).first() is None:
                return 0
        with self._database.write() as transaction:
            found = transaction.rows(stale.with_for_update(skip_locked=True))
            for row in found:
                _give_back(transaction, row, now, max_attempts)
            return len(found)

    def ended(
        self, before: datetime, limit: int, after: EndedStudy | None = None
    ) -> Sequence[EndedStudy]:
        """Studies behind ``after`` whose every job and delivery ended well."""
        place = tuple_(revisions.c.routed_at, studies.c.study_instance_uid)
        wanted = _ended_before(before).order_by(*place.clauses).limit(limit)
        if after is not None:
            wanted = wanted.where(place > (after.routed_at, after.study_instance_uid))
        with self._database.read() as connection:
            return [
                EndedStudy(uid, max(filter(None, moments)), moments[0])
                for uid, *moments in connection.execute(wanted)
            ]

    def expired(self, study_instance_uid: str, before: datetime) -> ExpiredStudy | None:
        """The files of a study that ended before ``before``; None: it has not."""
        uid = study_instance_uid
        wanted = _ended_before(before).where(studies.c.study_instance_uid == uid)
        with self._database.read() as connection:
            if connection.execute(wanted).first() is None:
                return None
            return files_of(connection, uid, instances_of_study(uid))

    def forget_files(self, study_instance_uid: str, now: datetime) -> None:
        """Note that the files of an expired study are gone; the rows stay.

        Not of what has come after ``now``, while they were being removed.
        """
        later = instances_of_study(study_instance_uid) & (instances.c.received_at > now)
        forgotten = update(studies).where(
            studies.c.study_instance_uid == study_instance_uid,
            studies.c.files_forgotten_at.is_(None),
            ~exists().where(later),
        )
        with self._database.write() as transaction:
            changed = transaction.execute(forgotten.values(files_forgotten_at=now))
            transaction.execute(
                update(instances)
                .where(instances_of_study(study_instance_uid))
                .where(instances.c.forgotten_at.is_(None))
                .where(instances.c.received_at <= now)
                .values(forgotten_at=now)
            )
            transaction.execute(
                update(results)
                .where(results.c.job_id.in_(_jobs_of(study_instance_uid)))
                .where(results.c.forgotten_at.is_(None))
                .values(forgotten_at=now)
            )
            if changed.rowcount == 1:
                kind, uid = "study forget files", study_instance_uid
                transaction.note(Event(now, kind, None, study_instance_uid=uid))

    def lead(self, holder: str, now: datetime, lease_seconds: float) -> bool:
        """Take or renew the one leader row of the schedulers; False: another leads."""
        lease = now + timedelta(seconds=lease_seconds)
        values = {"holder": holder, "lease_expires_at": lease}
        free = or_(leaders.c.holder == holder, leaders.c.lease_expires_at <= now)
        with self._database.write() as transaction:
            if transaction.insert_missing(leaders, {"name": _SCHEDULERS, **values}):
                return True
            taken = transaction.execute(
                update(leaders)
                .where(leaders.c.name == _SCHEDULERS, free)
                .values(values)
            )
            return taken.rowcount == 1

    def note(self, kind: NodeEvent, detail: str, now: datetime) -> None:
        """Leave an event about the node itself."""
        with self._database.write() as transaction:
            transaction.note(Event(now, kind, None, detail=detail))

    def checkpoint(self) -> None:
        """Leave nothing in the log of the database (SQLite: WAL checkpoint)."""
        self._database.checkpoint()

    def fold_log(self) -> None:
        """The same as far as nobody has to wait for it; the log keeps its size."""
        self._database.fold()

    def forget_workers(self, before: datetime) -> int:
        """Remove workers last heard of before then, but the last of all; how many.

        Each start of a worker is another one, so that they would only ever grow.
        """
        last = select(func.max(workers.c.heartbeat_at)).scalar_subquery()
        silent = and_(workers.c.heartbeat_at < before, workers.c.heartbeat_at < last)
        with self._database.read() as connection:
            if connection.execute(select(workers).where(silent)).first() is None:
                return 0
        with self._database.write() as transaction:
            return transaction.execute(delete(workers).where(silent)).rowcount

    def fold_counts(self) -> int:
        """Keep the counts by state short; how many rows became few."""
        return state_counts.fold(self._database)

    def known_locations(self, locations: Collection[str]) -> frozenset[str]:
        """Those of ``locations`` that a row still names; the others are orphans."""
        wanted = sorted(locations)
        named = union(
            select(instances.c.location)
            .where(instances.c.location.in_(wanted))
            .where(instances.c.forgotten_at.is_(None)),
            select(results.c.location).where(results.c.location.in_(wanted)),
        )
        with self._database.read() as connection:
            return frozenset(connection.execute(named).scalars())


def _give_back(
    transaction: Transaction, row: Row[Any], now: datetime, max_attempts: int
) -> None:
    exhausted = row.attempts >= max_attempts
    event = "exhaust" if exhausted else "lose lease"
    state = state_after(JOB_STATES, event)
    values: dict[str, object] = {"not_before": now}
    if exhausted:
        values = {"finished_at": now, "error": _exhausted(row.attempts)}
    transaction.execute(
        update(jobs)
        .where(jobs.c.job_id == row.job_id)
        .values(state=state, lease_expires_at=None, **values)
    )
    owner = (row.job_id, row.study_instance_uid)
    detail = f"attempt {row.attempts}"
    transaction.note(job_event(owner, event, state, now, detail))


def _exhausted(attempts: int) -> str:
    return (
        f"the worker died or hung in each of {attempts} attempts; look at its log, "
        "then `dicomnode retry`"
    )


def _ended_before(before: datetime) -> Select[Any]:
    """Studies with files, of which nothing waits, runs, failed or is recent.

    With when they were routed, their last job finished and the last result was sent.
    """
    study = studies.c.study_instance_uid
    open_job = exists().where(
        jobs.c.study_instance_uid == study,
        jobs.c.state.not_in(_JOB_ENDED_WELL)
        | (jobs.c.finished_at >= before)
        | _awaits_followers(),
    )
    open_delivery = exists().where(
        jobs.c.study_instance_uid == study,
        deliveries.c.job_id == jobs.c.job_id,
        deliveries.c.state.not_in(_DELIVERY_ENDED_WELL)
        | (deliveries.c.sent_at >= before)
        | deliveries.c.check_at.is_not(None),
    )
    finished_at = select(func.max(jobs.c.finished_at)).where(
        jobs.c.study_instance_uid == study
    )
    sent_at = select(func.max(deliveries.c.sent_at)).where(
        jobs.c.study_instance_uid == study, deliveries.c.job_id == jobs.c.job_id
    )
    return (
        select(
            study,
            revisions.c.routed_at,
            finished_at.scalar_subquery(),
            sent_at.scalar_subquery(),
        )
        .join(
            revisions,
            (revisions.c.study_instance_uid == study)
            & (revisions.c.revision == studies.c.revision),
        )
        # That of the study, in the index that puts them in order.
        .where(revisions.c.files_forgotten_at.is_(None))
        .where(revisions.c.routed_at < before)
        # Nearly every study ends so: by the index of states, which cannot serve an
        # expression, all of them would be read and sorted.
        .where(func.coalesce(revisions.c.state, "").in_(_STUDY_ENDED))
        .where(~open_job, ~open_delivery)
    )


def _awaits_followers() -> ColumnElement[bool]:
    """A completed job, before the router has looked whether another one follows."""
    completed = jobs.c.state == JobState.COMPLETED.value
    return completed & jobs.c.followed_at.is_(None)


def _jobs_of(study_instance_uid: str) -> Select[tuple[str]]:
    return select(jobs.c.job_id).where(jobs.c.study_instance_uid == study_instance_uid)


def files_of(
    connection: Connection, study_instance_uid: str, instance: ColumnElement[bool]
) -> ExpiredStudy:
    """Where the files of a study lie: those of ``instance`` rows, and its results."""
    kept = (
        select(instances.c.location)
        .where(instance, instances.c.forgotten_at.is_(None))
        .order_by(instances.c.sop_instance_uid, instances.c.ordinal)
    )
    built = (
        select(results.c.location)
        .join(jobs, jobs.c.job_id == results.c.job_id)
        .where(jobs.c.study_instance_uid == study_instance_uid)
        .order_by(results.c.result_id)
    )
    return ExpiredStudy(
        study_instance_uid=study_instance_uid,
        instance_locations=tuple(connection.execute(kept).scalars()),
        result_locations=tuple(connection.execute(built).scalars()),
    )


def instances_of_study(study_instance_uid: str) -> ColumnElement[bool]:
    """The rows of its instances, and of the conflicts that share their UIDs.

    A conflict may name another study than the instance that it conflicts with.
    """
    return instances.c.sop_instance_uid.in_(
        select(instances.c.sop_instance_uid)
        .where(instances.c.study_instance_uid == study_instance_uid)
        .where(instances.c.ordinal == 0)
    )
