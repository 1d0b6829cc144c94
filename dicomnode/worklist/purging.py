"""A study is removed for good: its rows here, its files by whoever holds the stores.

The files go first and the rows after them: a file that outlived its row would be taken
for one that was never recorded, and come back. The events of the study stay, with its
UIDs and without anybody's identity; the last one says who removed it and why.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, delete, or_, select

from dicomnode.domain.desk import said
from dicomnode.domain.job import JobState
from dicomnode.errors import IllegalTransition
from dicomnode.ports import ExpiredStudy
from dicomnode.worklist.engine import Database, Event, Transaction
from dicomnode.worklist.holding import set_study_hold
from dicomnode.worklist.lookups import revision_of
from dicomnode.worklist.schema import (
    deliveries,
    identities,
    instances,
    jobs,
    results,
    revisions,
    series,
    studies,
)
from dicomnode.worklist.upkeep import files_of, instances_of_study


class Purge:
    """Implements ``ports.Purge``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self, study_instance_uid: str, now: datetime, by: str = ""
    ) -> ExpiredStudy:
        """Hold the study, so that nothing begins with it; the files to delete.

        Raises UnknownStudy, IllegalTransition while a worker or a sender has it.
        """
        with self._database.write() as transaction:
            revision_of(transaction, study_instance_uid)
            _refuse_busy(transaction, study_instance_uid, now)
            set_study_hold(transaction, study_instance_uid, "hold", now, by)
            return _files(transaction, study_instance_uid)

    def finish(self, study: ExpiredStudy, now: datetime, by: str, reason: str) -> bool:
        """Remove the rows of a study whose files are deleted.

        False, and nothing is removed, when files have come meanwhile: begin again.
        """
        uid = study.study_instance_uid
        with self._database.write() as transaction:
            revision_of(transaction, uid)
            if _files(transaction, uid) != study:
                return False
            _remove(transaction, uid)
            n_files = len(study.instance_locations) + len(study.result_locations)
            detail = f"{n_files} file(s) {said(by, reason)}"
            transaction.note(Event(now, "study purge", None, uid, detail=detail))
            return True


def _refuse_busy(
    transaction: Transaction, study_instance_uid: str, now: datetime
) -> None:
    mine = jobs.c.study_instance_uid == study_instance_uid
    busy = select(jobs.c.job_id).where(
        mine,
        or_(
            jobs.c.state == JobState.IN_PROGRESS.value,
            jobs.c.job_id.in_(
                select(deliveries.c.job_id).where(
                    deliveries.c.job_id == jobs.c.job_id,
                    deliveries.c.lease_expires_at > now,
                )
            ),
        ),
    )
    found = transaction.rows(busy)
    if found:
        message = (
            f"job {found[0].job_id} of the study is being analysed or sent; "
            "`dicomnode hold` the study, and purge it when that has ended"
        )
        raise IllegalTransition(message)


def _rows(study_instance_uid: str) -> ColumnElement[bool]:
    """Every row with data of the study: also a conflict that names it."""
    names_it = instances.c.study_instance_uid == study_instance_uid
    return names_it | instances_of_study(study_instance_uid)


def _files(transaction: Transaction, study_instance_uid: str) -> ExpiredStudy:
    rows = _rows(study_instance_uid)
    return files_of(transaction.connection, study_instance_uid, rows)


def _remove(transaction: Transaction, study_instance_uid: str) -> None:
    if transaction.connection.dialect.name == "sqlite":
        # Zeros over what is deleted, or the file would go on holding the name.
        transaction.connection.exec_driver_sql("PRAGMA secure_delete=ON")
    mine = select(jobs.c.job_id).where(jobs.c.study_instance_uid == study_instance_uid)
    statements = [
        delete(deliveries).where(deliveries.c.job_id.in_(mine)),
        delete(results).where(results.c.job_id.in_(mine)),
        delete(instances).where(_rows(study_instance_uid)),
    ]
    for table in (jobs, identities, series, revisions, studies):
        of_study = table.c.study_instance_uid == study_instance_uid
        statements.append(delete(table).where(of_study))
    for statement in statements:
        transaction.execute(statement)
