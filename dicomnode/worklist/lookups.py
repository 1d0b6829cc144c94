"""Rows that an admin names, locked for what is done to them."""

from __future__ import annotations

from sqlalchemy import Row, select

from dicomnode.errors import UnknownStudy
from dicomnode.worklist.engine import Transaction
from dicomnode.worklist.growing import current_revision
from dicomnode.worklist.schema import jobs


def job_row(transaction: Transaction, job_id: str) -> Row[tuple[str, str]]:
    """State and study of a job, whose row stays locked; raises UnknownStudy."""
    found = transaction.rows(
        select(jobs.c.state, jobs.c.study_instance_uid)
        .where(jobs.c.job_id == job_id)
        .with_for_update()
    )
    if not found:
        raise UnknownStudy(f"no job {job_id}; list the jobs with `dicomnode list`")
    return found[0]


def revision_of(transaction: Transaction, study_instance_uid: str) -> int:
    """The current revision of a study, whose row stays locked; raises UnknownStudy."""
    revision = current_revision(transaction, study_instance_uid)
    if revision is None:
        message = f"no study {study_instance_uid}; list them with `dicomnode list`"
        raise UnknownStudy(message)
    return revision
