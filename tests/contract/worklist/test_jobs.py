"""Jobs: claim, renew, finish, fail, and who may."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.domain.job import Job, Outcome, Worker
from dicomnode.domain.result import KeptResult
from dicomnode.errors import LostLease
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    NOON,
    STUDY,
    after,
    claimed,
    delivered,
    finished,
    kinds,
    new_result,
    row,
    scheduled,
    some_uid,
)


def test_a_claim_counts_the_attempt_and_takes_a_lease(worklist: Worklist) -> None:
    (job,) = scheduled(worklist)
    (taken,) = worklist.jobs.claim("w1", ["cxr"], after(5), 60)
    assert taken == Job(
        job.job_id, STUDY, 1, "cxr", 0, 1, "w1", after(65), scheduled_at=NOON
    )
    found = row(worklist)
    assert (found["job_state"], found["attempts"]) == ("IN_PROGRESS", 1)
    assert found["started_at"] == "2026-01-31T12:00:05.000000Z"
    assert kinds(worklist)[-1] == "job claim"


def test_a_claimed_job_is_not_claimed_again(worklist: Worklist) -> None:
    claimed(worklist)
    assert worklist.jobs.claim("w2", ["cxr"], after(1), 60) == []


def test_what_waits_or_runs_is_counted_up_to_a_limit(worklist: Worklist) -> None:
    assert worklist.jobs.n_unfinished(9) == 0
    scheduled(worklist, "one", "two", "three")
    worklist.jobs.claim("w1", ["two"], NOON, 60)
    assert worklist.jobs.n_unfinished(9) == 3
    assert worklist.jobs.n_unfinished(2) == 2


def test_finished_jobs_wait_for_nobody(worklist: Worklist) -> None:
    finished(worklist)
    assert worklist.jobs.n_unfinished(9) == 0


def test_only_own_pipelines_are_claimed(worklist: Worklist) -> None:
    scheduled(worklist, "one", "two")
    taken = worklist.jobs.claim("w1", ["two", "three"], NOON, 60, limit=9)
    assert [job.pipeline for job in taken] == ["two"]
    assert worklist.jobs.claim("w1", [], NOON, 60) == []


def test_priority_first_then_the_oldest(worklist: Worklist) -> None:
    wanted = {}
    for name, seconds, priority in (
        ("late", 9, 0),
        ("stat", 20, 2),
        ("early", 1, 0),
        ("later stat", 30, 2),
    ):
        uid = some_uid()
        wanted[name] = uid
        scheduled(worklist, study=uid, at=after(seconds), priority=priority)
    taken = worklist.jobs.claim("w1", ["cxr"], after(60), 60, limit=3)
    taken = [*taken, *worklist.jobs.claim("w1", ["cxr"], after(60), 60, limit=3)]
    order = [wanted[name] for name in ("stat", "later stat", "early", "late")]
    assert [job.study_instance_uid for job in taken] == order


def test_results_that_arrived_are_there_for_the_next_revision_to_replace(
    worklist: Worklist,
) -> None:
    sent, never_sent = new_result(1, "PACS"), new_result(2)
    job = finished(worklist, sent, never_sent)
    assert worklist.jobs.earlier_results(job) == []
    delivered(worklist)
    later = replace(job, job_id="later", revision=2)
    [found] = worklist.jobs.earlier_results(later)
    assert found == KeptResult(
        "sr", sent.sop_class_uid, sent.sop_instance_uid, f"{STUDY}.9", sent.location, 1
    )
    assert worklist.jobs.earlier_results(replace(later, pipeline="other")) == []
    other_study = replace(later, study_instance_uid=some_uid())
    assert worklist.jobs.earlier_results(other_study) == []
    uids = [one.sop_instance_uid for one in worklist.jobs.results(job.job_id)]
    assert uids == [sent.sop_instance_uid, never_sent.sop_instance_uid]


def test_a_job_that_fails_for_good_can_leave_a_report(worklist: Worklist) -> None:
    job = claimed(worklist)
    report = new_result(1, "PACS")
    worklist.jobs.fail(job, "no answer", None, after(9), [report])
    assert row(worklist)["job_state"] == "FAILED"
    assert [one.sop_instance_uid for one in delivered(worklist, at=after(9))] == [
        report.sop_instance_uid
    ]
    assert len(worklist.jobs.earlier_results(job)) == 1


def test_renewing_moves_the_lease(worklist: Worklist) -> None:
    job = worklist.jobs.renew(claimed(worklist), after(50), 60)
    assert job.lease_expires_at == after(110)
    assert worklist.upkeep.reap(after(70), 3) == 0
    assert worklist.upkeep.reap(after(111), 3) == 1


def test_finishing_keeps_results_and_fills_the_outbox(worklist: Worklist) -> None:
    job = claimed(worklist)
    results = [new_result(1, "PACS", "ARCHIVE"), new_result(2, "PACS"), new_result(3)]
    worklist.jobs.finish(job, Outcome.ANALYSED, "", results, after(9))
    found = row(worklist)
    assert (found["job_state"], found["outcome"]) == ("COMPLETED", "ANALYSED")
    assert found["finished_at"] == "2026-01-31T12:00:09.000000Z"
    sent_to = [
        (one["sop_instance_uid"][-1], one["destination"], one["state"])
        for one in worklist.views.deliveries(job.job_id)
    ]
    assert sorted(sent_to) == [
        ("1", "ARCHIVE", "PENDING"),
        ("1", "PACS", "PENDING"),
        ("2", "PACS", "PENDING"),
    ]


def test_not_analysed_keeps_its_reason(worklist: Worklist) -> None:
    job = claimed(worklist)
    worklist.jobs.finish(job, Outcome.NOT_ANALYSED, "no frontal image", [], NOON)
    found = row(worklist)
    assert (found["outcome"], found["reason"]) == ("NOT_ANALYSED", "no frontal image")


def test_finishing_again_adds_nothing(worklist: Worklist) -> None:
    job = claimed(worklist)
    for seconds in (1, 2):
        worklist.jobs.finish(
            job, Outcome.ANALYSED, "", [new_result(1, "PACS")], after(seconds)
        )
    assert len(worklist.views.deliveries()) == 1
    assert kinds(worklist).count("job finish") == 1
    assert row(worklist)["finished_at"] == "2026-01-31T12:00:01.000000Z"


def test_a_rerun_after_a_lost_lease_delivers_once(worklist: Worklist) -> None:
    first = claimed(worklist)
    worklist.upkeep.reap(after(61), 3)
    (second,) = worklist.jobs.claim("w2", ["cxr"], after(62), 60)
    results = [new_result(1, "PACS")]
    worklist.jobs.finish(second, Outcome.ANALYSED, "", results, after(63))
    with pytest.raises(LostLease):
        worklist.jobs.finish(first, Outcome.ANALYSED, "", results, after(64))
    assert len(worklist.views.deliveries()) == 1


def test_a_retry_at_a_time(worklist: Worklist) -> None:
    job = claimed(worklist)
    worklist.jobs.fail(job, "the decoder crashed", after(100), after(10))
    found = row(worklist)
    assert (found["job_state"], found["error"]) == ("SCHEDULED", "the decoder crashed")
    assert worklist.jobs.claim("w1", ["cxr"], after(99), 60) == []
    (again,) = worklist.jobs.claim("w1", ["cxr"], after(100), 60)
    assert again.attempts == 2


def test_a_final_failure(worklist: Worklist) -> None:
    job = claimed(worklist)
    worklist.jobs.fail(job, "broken bundle", None, after(10))
    found = row(worklist)
    assert (found["job_state"], found["error"]) == ("FAILED", "broken bundle")
    assert found["finished_at"] == "2026-01-31T12:00:10.000000Z"
    assert kinds(worklist)[-1] == "job fail"


@pytest.mark.parametrize("theft", ["other worker", "same worker", "ended"])
def test_whoever_lost_the_lease_may_do_nothing(worklist: Worklist, theft: str) -> None:
    job = claimed(worklist)
    if theft == "ended":
        worklist.jobs.fail(job, "first word", None, after(1))
    else:
        worklist.upkeep.reap(after(61), 3)
        worker = "w1" if theft == "same worker" else "w2"
        assert worklist.jobs.claim(worker, ["cxr"], after(62), 60)
    before = row(worklist)
    with pytest.raises(LostLease, match="drop the work"):
        worklist.jobs.renew(job, after(63), 60)
    with pytest.raises(LostLease):
        worklist.jobs.finish(job, Outcome.ANALYSED, "", [new_result(1, "P")], after(63))
    with pytest.raises(LostLease):
        worklist.jobs.fail(job, "last word", None, after(63))
    assert row(worklist) == before
    assert worklist.views.deliveries() == []


def test_the_heartbeat_of_a_worker(worklist: Worklist) -> None:
    worker = Worker("w1", "node1", "cpu", "cxr-qc 1.0.0", "idle", None, NOON)
    worklist.jobs.heartbeat(worker)
    worklist.jobs.heartbeat(replace(worker, worker_id="w0"))
    worklist.jobs.heartbeat(
        replace(worker, state="working", job_id="7f", heartbeat_at=after(5))
    )
    newest, other = worklist.views.workers()
    assert (newest["worker_id"], newest["job_id"]) == ("w1", "7f")
    assert newest["heartbeat_at"] == "2026-01-31T12:00:05.000000Z"
    assert other["state"] == "idle"
    assert (newest["n_jobs"], newest["jobs_per_hour"]) == (0, 0)
    assert newest["queued_since"] is None
    assert newest["warm_seconds"] is None


def test_a_worker_says_what_it_gets_done_and_the_queue_since_when_it_waits(
    worklist: Worklist,
) -> None:
    worker = Worker("w1", "node1", "cpu", "cxr-qc", "idle", None, NOON, 12, 340.5, 2.5)
    worklist.jobs.heartbeat(worker)
    scheduled(worklist, study="1.2.3", at=after(5))
    scheduled(worklist, study="1.2.4", at=after(7))
    [row_] = worklist.views.workers()
    assert (row_["n_jobs"], row_["jobs_per_hour"]) == (12, 340.5)
    assert row_["warm_seconds"] == 2.5
    assert row_["queued_since"] == "2026-01-31T12:00:05.000000Z"
