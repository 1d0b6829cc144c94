"""Desk: what an admin may change, and what not."""

from __future__ import annotations

import pytest

from dicomnode.errors import IllegalTransition, UnknownStudy
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    NOON,
    STUDY,
    after,
    claimed,
    current,
    delivered,
    finished,
    kinds,
    new_job,
    new_result,
    received,
    row,
    scheduled,
)


def test_a_failed_job_gets_a_fresh_set_of_attempts(worklist: Worklist) -> None:
    job = claimed(worklist)
    worklist.jobs.fail(job, "broken", None, NOON)
    worklist.desk.retry_job(job.job_id, after(5))
    found = row(worklist)
    assert (found["job_state"], found["attempts"]) == ("SCHEDULED", 0)
    assert (found["finished_at"], found["error"]) == (None, "")
    assert kinds(worklist)[-1] == "job retry"
    (again,) = worklist.jobs.claim("w1", ["cxr"], after(5), 60)
    assert again.attempts == 1


def test_cancel_and_retry(worklist: Worklist) -> None:
    (job,) = scheduled(worklist)
    worklist.desk.cancel_job(job.job_id, after(1))
    assert row(worklist)["job_state"] == "CANCELED"
    assert worklist.jobs.claim("w1", ["cxr"], after(2), 60) == []
    worklist.desk.retry_job(job.job_id, after(3))
    assert len(worklist.jobs.claim("w1", ["cxr"], after(3), 60)) == 1


def test_acts_that_the_state_machine_refuses(worklist: Worklist) -> None:
    job = claimed(worklist)
    with pytest.raises(IllegalTransition, match="dicomnode show"):
        worklist.desk.retry_job(job.job_id, NOON)
    with pytest.raises(IllegalTransition):
        worklist.desk.cancel_job(job.job_id, NOON)
    with pytest.raises(IllegalTransition):
        worklist.desk.reroute(STUDY, NOON)
    assert kinds(worklist)[-1] == "job claim"


def test_unknown_jobs_and_studies(worklist: Worklist) -> None:
    for act in (
        worklist.desk.retry_job,
        worklist.desk.cancel_job,
        worklist.desk.retry_deliveries,
        worklist.desk.resend_deliveries,
        worklist.desk.force_complete,
        worklist.desk.reroute,
    ):
        with pytest.raises(UnknownStudy, match="dicomnode list"):
            act("1.2.3", NOON)


def test_resending(worklist: Worklist) -> None:
    job = finished(worklist, new_result(1, "PACS"), new_result(2, "PACS"))
    delivered(worklist)
    worklist.outbox.committed("PACS", new_result(1).sop_instance_uid, NOON)
    assert worklist.desk.resend_deliveries(job.job_id, after(5)) == 2
    assert worklist.desk.resend_deliveries(job.job_id, after(5)) == 0
    assert len(worklist.outbox.due("PACS", after(5), 60, 10)) == 2
    assert kinds(worklist).count("delivery resend") == 2


def test_retrying_deliveries_leaves_the_good_ones(worklist: Worklist) -> None:
    job = finished(worklist, new_result(1, "PACS"), new_result(2, "PACS"))
    delivered(worklist)
    worklist.outbox.rejected("PACS", new_result(1).sop_instance_uid, "gone", NOON)
    assert worklist.desk.retry_deliveries(job.job_id, after(5)) == 1
    (due,) = worklist.outbox.due("PACS", after(5), 60, 10)
    assert due.sop_instance_uid == new_result(1).sop_instance_uid


def test_forced_completion(worklist: Worklist) -> None:
    worklist.intake.record(received())
    worklist.desk.force_complete(STUDY, after(1))
    study = current(worklist)
    assert study.forced
    assert kinds(worklist)[-1] == "study force complete"
    assert worklist.studies.complete(study, after(2))
    worklist.desk.force_complete(STUDY, after(3))
    assert kinds(worklist)[-1] == "study complete"


def test_rerouting_after_the_rules_have_changed(worklist: Worklist) -> None:
    worklist.intake.record(received())
    worklist.studies.complete(current(worklist), NOON)
    worklist.studies.route(current(worklist), [], "no rule", NOON)
    worklist.desk.reroute(STUDY, after(1))
    assert (row(worklist)["study_state"], row(worklist)["reason"]) == ("COMPLETE", "")
    assert worklist.studies.route(current(worklist), [new_job()], "", after(2))
    assert row(worklist)["job_state"] == "SCHEDULED"
