"""Jobs are taken by workers: the statements that find and claim them.

Built once for each set of pipelines, as building them takes longer than running them.
Both databases walk along the index of waiting jobs and stop at the first that may be
claimed, however many wait; PostgreSQL has to be told (``engine.walk_in_order``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, literal_column, select, update

from dicomnode.domain.job import JOB_STATES, Job, JobState
from dicomnode.worklist.engine import Transaction, walk_in_order
from dicomnode.worklist.holding import not_held, not_paused
from dicomnode.worklist.moves import job_event, may, state_after
from dicomnode.worklist.prepared import Prepared, instant
from dicomnode.worklist.schema import Instant, jobs
from dicomnode.worklist.spools import not_spooled_elsewhere

_ORDER = (jobs.c.priority.desc(), jobs.c.scheduled_at, jobs.c.job_id)
_SHOWN = (
    jobs.c.job_id,
    jobs.c.study_instance_uid,
    jobs.c.revision,
    jobs.c.pipeline,
    jobs.c.priority,
    jobs.c.attempts,
    jobs.c.scheduled_at,
)
_CLAIMED = state_after(JOB_STATES, "claim")
_NOW, _LEASE = bindparam("now", type_=Instant()), bindparam("lease", type_=Instant())
_TAKE = Prepared(
    update(jobs)
    .where(jobs.c.job_id == bindparam("job"))
    .where(may(JOB_STATES, jobs.c.state, "claim"))
    .values(
        state=_CLAIMED,
        worker_id=bindparam("worker"),
        attempts=jobs.c.attempts + 1,
        lease_expires_at=_LEASE,
        started_at=_NOW,
    )
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker can take: jobs of these pipelines, above a priority if not None.

    ``host``: where it runs; what lies in the spool of another one it cannot read.
    """

    pipelines: tuple[str, ...]
    host: str = ""
    above: int | None = None


@dataclass(frozen=True, slots=True)
class Hand:
    """Who takes, when, for how long, and how many at most."""

    worker_id: str
    now: datetime
    lease_expires_at: datetime
    limit: int


def is_there(connection: Connection, wanted: Wanted, now: datetime) -> bool:
    """Whether there is a job to take."""
    return bool(_found(connection, wanted, now, 1))


def take(transaction: Transaction, wanted: Wanted, hand: Hand) -> list[Job]:
    """SCHEDULED -> IN_PROGRESS; the jobs, in the order of their claims."""
    walk_in_order(transaction.connection)
    found = _found(transaction.connection, wanted, hand.now, hand.limit)
    lease = hand.lease_expires_at
    who = {"worker": hand.worker_id, "now": hand.now, "lease": lease}
    transaction.run(_TAKE, [{"job": row.job_id, **who} for row in found])
    taken = [_job(row, hand) for row in found]
    for job in taken:
        owner = (job.job_id, job.study_instance_uid)
        detail = f"attempt {job.attempts} by {hand.worker_id}"
        transaction.note(job_event(owner, "claim", _CLAIMED, hand.now, detail))
    return taken


def claimable(wanted: Wanted, most: int) -> Select[Any]:
    """The jobs to take with their rows locked; parameters: now, of_0...

    State and limit are literals, or PostgreSQL would plan for some average of them.
    """
    names: list[Any] = [bindparam(f"of_{n}") for n in range(len(wanted.pipelines))]
    found = (
        select(*_SHOWN)
        .where(jobs.c.state == literal_column(f"'{JobState.SCHEDULED}'"))
        .where(jobs.c.pipeline.in_(names), jobs.c.not_before <= _NOW)
        .where(not_held(), not_paused(), not_spooled_elsewhere(wanted.host))
        .order_by(*_ORDER)
        .limit(literal_column(f"{most:d}"))
        .with_for_update(skip_locked=True, of=jobs)
    )
    return (
        found if wanted.above is None else found.where(jobs.c.priority > wanted.above)
    )


@lru_cache(maxsize=64)
def _prepared(wanted: Wanted, most: int) -> Prepared:
    return Prepared(claimable(wanted, most))


def _found(
    connection: Connection, wanted: Wanted, now: datetime, most: int
) -> Sequence[Any]:
    if not wanted.pipelines:
        return []
    names = {f"of_{n}": name for n, name in enumerate(wanted.pipelines)}
    return _prepared(wanted, most).run(connection, [{"now": now, **names}])


def _job(row: Any, hand: Hand) -> Job:
    return Job(
        job_id=row.job_id,
        study_instance_uid=row.study_instance_uid,
        revision=row.revision,
        pipeline=row.pipeline,
        priority=row.priority,
        attempts=row.attempts + 1,
        worker_id=hand.worker_id,
        lease_expires_at=hand.lease_expires_at,
        scheduled_at=instant(row.scheduled_at),
    )
