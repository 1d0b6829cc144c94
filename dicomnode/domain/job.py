"""A job: one pipeline over one study revision (UPS states, PS3.4 CC.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid5

from dicomnode.domain.machine import Arrow, StateMachine

_JOBS = UUID("5b4b4d3e-6a0e-5d6c-9b8e-3f6f2a9d7c11")


class JobState(StrEnum):
    """The words of the Unified Procedure Step."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


class Outcome(StrEnum):
    """What a completed job says of the study."""

    ANALYSED = "ANALYSED"
    NOT_ANALYSED = "NOT_ANALYSED"


_S, _I = JobState.SCHEDULED, JobState.IN_PROGRESS
_C, _F, _X = JobState.COMPLETED, JobState.FAILED, JobState.CANCELED

JOB_STATES = StateMachine(
    "job",
    (
        Arrow(_S, "claim", _I, "worker"),
        Arrow(_I, "finish", _C, "worker"),
        Arrow(_I, "fail", _F, "worker"),
        Arrow(_I, "postpone", _S, "worker"),
        Arrow(_I, "lose lease", _S, "housekeeping"),
        Arrow(_I, "exhaust", _F, "housekeeping"),
        Arrow(_S, "cancel", _X, "admin or a newer revision"),
        Arrow(_F, "retry", _S, "admin"),
        Arrow(_X, "retry", _S, "admin"),
        # Its result is lost before it went out; the rerun makes the same one again.
        Arrow(_C, "rerun", _S, "reconcile"),
    ),
)


def job_id_of(study_instance_uid: str, revision: int, pipeline: str) -> str:
    """The id of a job: the same study revision and pipeline give the same id.

    That makes routing idempotent: a router that dies after its commit and runs again
    finds the job it made.
    """
    return uuid5(_JOBS, f"{study_instance_uid}|{revision}|{pipeline}").hex


@dataclass(frozen=True, slots=True)
class NewJob:
    """What the router asks for."""

    job_id: str
    study_instance_uid: str
    revision: int
    pipeline: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job; ``lease_expires_at`` is aware UTC."""

    job_id: str
    study_instance_uid: str
    revision: int
    pipeline: str
    priority: int
    attempts: int
    worker_id: str
    lease_expires_at: datetime
    scheduled_at: datetime


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker says of itself with each heartbeat.

    ``n_jobs``: worked on since it began; ``jobs_per_hour``: of the last hour;
    ``warm_seconds``: from its start until its bundles were loaded and warm.
    """

    worker_id: str
    host: str
    device: str
    bundle: str
    state: str
    job_id: str | None
    heartbeat_at: datetime
    n_jobs: int = 0
    jobs_per_hour: float = 0.0
    warm_seconds: float | None = None
