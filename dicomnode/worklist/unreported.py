"""Jobs that have failed without a word to the destinations."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, exists, select

from dicomnode.domain.job import JobState
from dicomnode.worklist.schema import jobs, results

REPORTED_WITHIN = timedelta(hours=24)


def unreported(pipelines: Collection[str], now: datetime) -> Select[Any]:
    """A job that FAILED without a result, and that nobody was given to report on.

    Not one of long ago: a report that comes days later would mislead. A lease on a
    FAILED job marks that it was given out.
    """
    return (
        select(jobs.c.job_id)
        .where(jobs.c.state == JobState.FAILED.value)
        .where(jobs.c.pipeline.in_(sorted(pipelines)))
        .where(jobs.c.finished_at > now - REPORTED_WITHIN)
        .where(jobs.c.lease_expires_at.is_(None))
        .where(~exists().where(results.c.job_id == jobs.c.job_id))
        .order_by(jobs.c.finished_at, jobs.c.job_id)
        .limit(1)
    )
