"""Results as they lie in the store: those of a job, and those a new one replaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, select

from dicomnode.domain.delivery import DeliveryState
from dicomnode.domain.job import Job
from dicomnode.domain.result import KeptResult
from dicomnode.worklist.schema import deliveries, jobs, results

_ARRIVED = (DeliveryState.SENT.value, DeliveryState.COMMITTED.value)


def results_of(connection: Connection, job_id: str) -> Sequence[KeptResult]:
    """All results of a job, in the order they were kept."""
    return _load(connection, _kept().where(results.c.job_id == job_id))


def arrived_before(connection: Connection, job: Job) -> Sequence[KeptResult]:
    """What destinations have of earlier analyses of this study by this pipeline.

    A result that never left (shadow mode, a destination out of reach) is none to
    replace: nobody could find it.
    """
    arrived = exists().where(
        deliveries.c.result_id == results.c.result_id,
        deliveries.c.state.in_(_ARRIVED),
    )
    earlier = (
        _kept()
        .where(jobs.c.study_instance_uid == job.study_instance_uid)
        .where(jobs.c.pipeline == job.pipeline, jobs.c.revision <= job.revision)
        .where(arrived)
    )
    return _load(connection, earlier)


def _kept() -> Select[Any]:
    return (
        select(results, jobs.c.revision)
        .join(jobs, jobs.c.job_id == results.c.job_id)
        .order_by(results.c.result_id)
    )


def _load(connection: Connection, wanted: Select[Any]) -> Sequence[KeptResult]:
    return [_kept_result(row) for row in connection.execute(wanted)]


def _kept_result(row: Row[Any]) -> KeptResult:
    return KeptResult(
        kind=row.kind,
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        series_instance_uid=row.series_instance_uid,
        location=row.location,
        revision=row.revision,
    )
