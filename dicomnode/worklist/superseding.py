"""Results that a newer revision has overtaken before they went out are not sent.

A reader of the PACS would get the report on the first images after the one on all of
them, or two where one is meant. What is out already stays; it is the newer report that
names it as replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, func, select

from dicomnode.domain.delivery import DELIVERY_STATES, NewResult
from dicomnode.domain.job import Job
from dicomnode.worklist.engine import Transaction
from dicomnode.worklist.moves import may
from dicomnode.worklist.outbox import move_deliveries
from dicomnode.worklist.prepared import Prepared
from dicomnode.worklist.schema import deliveries, jobs, results

_REVISIONS = Prepared(
    select(
        deliveries.c.destination,
        func.max(jobs.c.revision).label("revision"),
        func.min(jobs.c.revision).label("oldest"),
    )
    .join(jobs, jobs.c.job_id == deliveries.c.job_id)
    .where(jobs.c.study_instance_uid == bindparam("study"))
    .where(jobs.c.pipeline == bindparam("pipeline"))
    .group_by(deliveries.c.destination)
)
"""Of the deliveries of one study and pipeline; most studies have one revision."""

_ANY_OF_JOB = Prepared(
    select(deliveries.c.delivery_id)
    .where(deliveries.c.job_id == bindparam("job"))
    .limit(1)
)


def supersede_older(transaction: Transaction, job: Job, now: datetime) -> None:
    """Cancel what waits for a destination that has, or will get, a newer revision.

    ``job`` may be the newer one, or an older one that has finished after it.
    """
    same = {"study": job.study_instance_uid, "pipeline": job.pipeline}
    for row in transaction.run(_REVISIONS, [same]):
        if row.oldest == row.revision:
            continue
        older = select(jobs.c.job_id).where(
            _of_the_same(job), jobs.c.revision < row.revision
        )
        which = (
            deliveries.c.job_id.in_(older)
            & (deliveries.c.destination == row.destination)
            & may(DELIVERY_STATES, deliveries.c.state, "supersede")
        )
        error = f"not sent, revision {row.revision} of the study has its own report"
        values: dict[str, object] = {"error": error, "lease_expires_at": None}
        move_deliveries(transaction, which, "supersede", now, values)


def supersede_attempts(
    transaction: Transaction, job: Job, kept: Sequence[NewResult], now: datetime
) -> None:
    """Cancel what waits of earlier attempts of this very job: ``kept`` stands now.

    An attempt that failed for good has told so in a report of its own.
    """
    if not transaction.run(_ANY_OF_JOB, [{"job": job.job_id}]):
        return
    same = select(results.c.result_id).where(
        results.c.job_id == job.job_id,
        results.c.sop_instance_uid.in_([one.sop_instance_uid for one in kept]),
    )
    which = (
        (deliveries.c.job_id == job.job_id)
        & deliveries.c.result_id.not_in(same)
        & may(DELIVERY_STATES, deliveries.c.state, "supersede")
    )
    error = "not sent, a later attempt of the job has its own report"
    values: dict[str, object] = {"error": error, "lease_expires_at": None}
    move_deliveries(transaction, which, "supersede", now, values)


def _of_the_same(job: Job) -> ColumnElement[bool]:
    """Jobs of the same study and pipeline."""
    return (jobs.c.study_instance_uid == job.study_instance_uid) & (
        jobs.c.pipeline == job.pipeline
    )
