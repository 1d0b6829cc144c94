"""Instances, studies, jobs and results for the tests, and short ways through."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from dicomnode.domain.delivery import Delivery, NewResult
from dicomnode.domain.instance import (
    AttributeValue,
    Identity,
    InstanceKey,
    ReceivedInstance,
    StoredInstance,
)
from dicomnode.domain.job import Job, NewJob, Outcome, job_id_of
from dicomnode.domain.study import Study
from dicomnode.worklist import Worklist

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
STUDY = "1.2.826.0.1.3680043.8.498.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
EXPLICIT = "1.2.840.10008.1.2.1"
SECRET = "Planted^Patient"


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def received(
    number: int = 1,
    *,
    study: str = STUDY,
    series: int = 1,
    content: str = "",
    at: datetime = NOON,
    attributes: Mapping[str, AttributeValue] | None = None,
    calling_ae_title: str = "CT1",
) -> ReceivedInstance:
    sop_instance_uid = f"{study}.{series}.{number}"
    sha256 = content or f"sha256 of {sop_instance_uid}"
    return ReceivedInstance(
        key=InstanceKey(study, f"{study}.{series}", sop_instance_uid, CT, EXPLICIT),
        stored=StoredInstance(f"{sop_instance_uid}/{sha256}", 1000, sha256),
        received_at=at,
        calling_ae_title=calling_ae_title,
        called_ae_title="DICOMNODE",
        address="127.0.0.1",
        attributes=attributes or {"Modality": "CT", "AccessionNumber": "A1"},
        identity=Identity("4711", SECRET, "19700101", "O", "HOSPITAL"),
    )


def new_job(
    study: str = STUDY, pipeline: str = "cxr", revision: int = 1, priority: int = 0
) -> NewJob:
    job_id = job_id_of(study, revision, pipeline)
    return NewJob(job_id, study, revision, pipeline, priority)


def new_result(number: int = 1, *destinations: str, study: str = STUDY) -> NewResult:
    uid = f"{study}.9.{number}"
    return NewResult(
        "sr", COMPREHENSIVE_SR, uid, f"{study}.9", f"{uid}/r", "5a", destinations
    )


def current(worklist: Worklist, study: str = STUDY) -> Study:
    every = (*worklist.studies.receiving(), *worklist.studies.unrouted())
    (found,) = (one for one in every if one.study_instance_uid == study)
    return found


def scheduled(
    worklist: Worklist,
    *pipelines: str,
    study: str = STUDY,
    at: datetime = NOON,
    priority: int = 0,
) -> list[NewJob]:
    """A study of one instance with jobs that wait for a worker."""
    worklist.intake.record(received(study=study, at=at))
    assert worklist.studies.complete(current(worklist, study), at)
    jobs = [
        new_job(study, pipeline, priority=priority)
        for pipeline in pipelines or ("cxr",)
    ]
    assert worklist.studies.route(current(worklist, study), jobs, "", at)
    return jobs


def claimed(
    worklist: Worklist, study: str = STUDY, at: datetime = NOON, worker: str = "w1"
) -> Job:
    """A job in the hands of a worker for 60 s."""
    scheduled(worklist, study=study, at=at)
    (job,) = worklist.jobs.claim(worker, ["cxr"], at, 60)
    return job


def finished(
    worklist: Worklist, *results: NewResult, study: str = STUDY, at: datetime = NOON
) -> Job:
    job = claimed(worklist, study, at)
    worklist.jobs.finish(job, Outcome.ANALYSED, "", results, at)
    followed(worklist, at)
    return job


def followed(worklist: Worklist, at: datetime = NOON) -> None:
    """The router has seen what has finished, and no pipeline follows."""
    for one in worklist.studies.unfollowed(100):
        assert worklist.studies.follow(one, [], [], at)


def delivered(
    worklist: Worklist, destination: str = "PACS", at: datetime = NOON
) -> list[Delivery]:
    """Send everything that is due."""
    due = worklist.outbox.due(destination, at, 60, 100)
    for delivery in due:
        worklist.outbox.sent(delivery, 0x0000, at)
    return list(due)


def row(worklist: Worklist, study: str = STUDY, revision: int = 1) -> dict[str, object]:
    """The one row of ``v1_worklist`` for a study revision."""
    (found,) = (
        one
        for one in worklist.views.worklist()
        if (one["study_instance_uid"], one["revision"]) == (study, revision)
    )
    return found


def kinds(worklist: Worklist) -> list[str]:
    return [event["kind"] for event in worklist.views.events()]


def some_uid() -> str:
    """A new UID (PS3.5 B.2)."""
    return f"2.25.{uuid4().int}"
