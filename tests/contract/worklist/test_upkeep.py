"""Upkeep: lost leases, retention, leadership."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dicomnode.domain.job import Outcome, Worker
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    NOON,
    STUDY,
    after,
    claimed,
    current,
    delivered,
    finished,
    followed,
    kinds,
    new_job,
    new_result,
    received,
    row,
    scheduled,
    some_uid,
)


def test_what_happens_to_the_node_itself_is_an_event(worklist: Worklist) -> None:
    worklist.upkeep.note("node config take", "peer[1].hosts", after(5))
    event = worklist.views.events()[-1]
    assert (event["kind"], event["detail"]) == ("node config take", "peer[1].hosts")
    assert event["study_instance_uid"] is None


def test_a_lost_lease_gives_the_job_back(worklist: Worklist) -> None:
    claimed(worklist)
    assert worklist.upkeep.reap(after(59), 3) == 0
    assert worklist.upkeep.reap(after(60), 3) == 1
    assert worklist.upkeep.reap(after(60), 3) == 0
    assert row(worklist)["job_state"] == "SCHEDULED"
    assert kinds(worklist)[-1] == "job lose lease"
    (again,) = worklist.jobs.claim("w2", ["cxr"], after(61), 60)
    assert again.attempts == 2


def test_too_many_lost_leases_fail_the_job(worklist: Worklist) -> None:
    claimed(worklist)
    assert worklist.upkeep.reap(after(60), 1) == 1
    found = row(worklist)
    assert found["job_state"] == "FAILED"
    assert "dicomnode retry" in str(found["error"])
    assert kinds(worklist)[-1] == "job exhaust"


def waiting_job(worklist: Worklist) -> None:
    scheduled(worklist)


def running_job(worklist: Worklist) -> None:
    claimed(worklist)


def failed_job(worklist: Worklist) -> None:
    worklist.jobs.fail(claimed(worklist), "broken", None, NOON)


def one_job_of_two_waits(worklist: Worklist) -> None:
    scheduled(worklist, "one", "two")
    (job,) = worklist.jobs.claim("w1", ["one"], NOON, 60)
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [], NOON)


def waiting_delivery(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))


def one_delivery_of_two_waits(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS", "ARCHIVE"))
    delivered(worklist, "PACS")


def failed_delivery(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    (delivery,) = worklist.outbox.due("PACS", NOON, 60, 1)
    worklist.outbox.postpone(delivery, 0xC000, "refused", None, NOON)


def rejected_delivery(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    (delivery,) = delivered(worklist)
    worklist.outbox.rejected("PACS", delivery.sop_instance_uid, "lost", NOON)


def receiving(worklist: Worklist) -> None:
    worklist.intake.record(received())


def complete(worklist: Worklist) -> None:
    receiving(worklist)
    worklist.studies.complete(current(worklist), NOON)


def receiving_again(worklist: Worklist) -> None:
    finished(worklist)
    worklist.intake.record(received(2))


def failed_in_an_older_revision(worklist: Worklist) -> None:
    failed_job(worklist)
    worklist.intake.record(received(2))
    worklist.studies.complete(current(worklist), NOON)
    worklist.studies.route(current(worklist), [], "nothing fits", NOON)


def recent_job(worklist: Worklist) -> None:
    worklist.jobs.finish(claimed(worklist), Outcome.ANALYSED, "", [], after(500))


def recent_delivery(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    delivered(worklist, at=after(500))


@pytest.mark.parametrize(
    "stuck",
    [
        waiting_job,
        running_job,
        failed_job,
        one_job_of_two_waits,
        waiting_delivery,
        one_delivery_of_two_waits,
        failed_delivery,
        rejected_delivery,
        receiving,
        complete,
        receiving_again,
        failed_in_an_older_revision,
        recent_job,
        recent_delivery,
    ],
)
def test_never_expired(worklist: Worklist, stuck: Callable[[Worklist], None]) -> None:
    stuck(worklist)
    assert worklist.upkeep.ended(after(500), 10) == []
    assert worklist.upkeep.expired(STUDY, after(500)) is None


def not_routed(worklist: Worklist) -> None:
    complete(worklist)
    worklist.studies.route(current(worklist), [], "nothing fits", NOON)


def shadow_mode(worklist: Worklist) -> None:
    finished(worklist, new_result(1))


def all_sent(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    delivered(worklist)


def committed(worklist: Worklist) -> None:
    all_sent(worklist)
    uid = new_result(1).sop_instance_uid
    assert worklist.outbox.committed("PACS", uid, NOON) == 1


def canceled(worklist: Worklist) -> None:
    (job,) = scheduled(worklist)
    worklist.desk.cancel_job(job.job_id, NOON)


@pytest.mark.parametrize(
    "ended", [not_routed, shadow_mode, all_sent, committed, canceled]
)
def test_expired(worklist: Worklist, ended: Callable[[Worklist], None]) -> None:
    ended(worklist)
    assert worklist.upkeep.ended(NOON, 10) == []
    expired = worklist.upkeep.expired(STUDY, after(1))
    assert expired
    assert expired.study_instance_uid == STUDY
    assert expired.instance_locations == (received().stored.location,)


def test_an_expired_study_names_all_its_files(worklist: Worklist) -> None:
    finished(worklist, new_result(1), new_result(2))
    worklist.intake.record(received(content="other"))
    expired = worklist.upkeep.expired(STUDY, after(1))
    assert expired
    assert expired.instance_locations == (
        received().stored.location,
        received(content="other").stored.location,
    )
    assert expired.result_locations == tuple(
        new_result(number).location for number in (1, 2)
    )


def test_forgotten_files_are_not_expired_again(worklist: Worklist) -> None:
    finished(worklist, new_result(1))
    worklist.upkeep.forget_files(STUDY, after(9))
    worklist.upkeep.forget_files(STUDY, after(9))
    assert worklist.upkeep.ended(after(99), 10) == []
    assert row(worklist)["job_state"] == "COMPLETED"
    assert kinds(worklist).count("study forget files") == 1


def test_what_comes_while_files_are_removed_is_not_forgotten(
    worklist: Worklist,
) -> None:
    finished(worklist, new_result(1))
    looked_at = after(8)
    assert worklist.upkeep.expired(STUDY, after(1))
    # A thousand files take their time.
    worklist.intake.record(received(2, at=after(9)))
    worklist.upkeep.forget_files(STUDY, looked_at)
    assert [one.sop_instance_uid[-1] for one in worklist.studies.instances(STUDY)] == [
        "2"
    ]
    assert "study forget files" not in kinds(worklist)
    assert current(worklist).revision == 2


def test_a_late_instance_of_a_forgotten_study_is_analysed_alone(
    worklist: Worklist,
) -> None:
    finished(worklist)
    worklist.upkeep.forget_files(STUDY, after(9))
    worklist.intake.record(received(2, at=after(20)))
    assert [one.sop_instance_uid[-1] for one in worklist.studies.instances(STUDY)] == [
        "2"
    ]
    worklist.studies.complete(current(worklist), after(30))
    worklist.studies.route(current(worklist), [new_job(revision=2)], "", after(30))
    (job,) = worklist.jobs.claim("w1", ["cxr"], after(30), 60)
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [], after(31))
    assert worklist.upkeep.ended(after(99), 10) == []  # until the router has seen it
    followed(worklist, after(32))
    expired = worklist.upkeep.expired(STUDY, after(99))
    assert expired
    assert expired.instance_locations == (received(2).stored.location,)


def test_ended_page_by_page(worklist: Worklist) -> None:
    names = sorted(some_uid() for _ in range(3))
    for name in names:
        finished(worklist, study=name)
    first = worklist.upkeep.ended(after(1), 2)
    assert [one.study_instance_uid for one in first] == names[:2]
    (last,) = worklist.upkeep.ended(after(1), 2, first[1])
    assert last.study_instance_uid == names[2]
    assert worklist.upkeep.ended(after(1), 2, last) == []


def test_what_was_routed_first_ends_first(worklist: Worklist) -> None:
    late, early = sorted(some_uid() for _ in range(2))
    finished(worklist, study=early)
    for one in worklist.upkeep.ended(after(1), 9):
        assert one.routed_at <= one.ended_at
    finished(worklist, study=late, at=after(5))
    found = worklist.upkeep.ended(after(10), 9)
    assert [one.study_instance_uid for one in found] == [early, late]


def test_what_comes_again_is_among_the_ended_again(worklist: Worklist) -> None:
    finished(worklist)
    assert worklist.upkeep.expired(STUDY, after(1))
    worklist.upkeep.forget_files(STUDY, after(1))
    assert worklist.upkeep.ended(after(9), 9) == []
    worklist.intake.record(received(at=after(2)))
    (again,) = worklist.upkeep.ended(after(9), 9)
    assert again.study_instance_uid == STUDY


def test_a_study_has_ended_when_the_last_of_it_was_done(worklist: Worklist) -> None:
    not_routed(worklist)
    unrouted, sent, finished_later = STUDY, f"{STUDY}.5", f"{STUDY}.6"
    finished(worklist, new_result(1, "PACS", study=sent), study=sent, at=after(5))
    delivered(worklist, at=after(9))
    job = claimed(worklist, finished_later, after(10))
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [], after(20))
    followed(worklist, after(30))
    found = worklist.upkeep.ended(after(60), 10)
    assert {one.study_instance_uid: one.ended_at for one in found} == {
        unrouted: NOON,
        sent: after(9),
        finished_later: after(20),
    }


def test_known_locations(worklist: Worklist) -> None:
    finished(worklist, new_result(1))
    mine = received().stored.location
    asked = [mine, new_result(1).location, "an/orphan"]
    assert worklist.upkeep.known_locations(asked) == set(asked[:2])
    assert worklist.upkeep.known_locations([]) == set()


def heard_of(worklist: Worklist, name: str, seconds: float) -> None:
    facts = (name, "host", "cpu", "cxr-qc 1.0.0", "STOPPED", None, after(seconds))
    worklist.jobs.heartbeat(Worker(*facts))


def test_workers_that_were_silent_for_long_are_forgotten_but_the_last(
    worklist: Worklist,
) -> None:
    def known() -> list[str]:
        return sorted(one["worker_id"] for one in worklist.views.workers())

    assert worklist.upkeep.forget_workers(after(100)) == 0
    for number in range(4):
        heard_of(worklist, f"w{number}", number)
    assert worklist.upkeep.forget_workers(after(2)) == 2
    assert known() == ["w2", "w3"]
    assert worklist.upkeep.forget_workers(after(100)) == 1
    assert known() == ["w3"], "when one was there last is still known"
    heard_of(worklist, "w0", 200)
    assert worklist.upkeep.forget_workers(after(100)) == 1
    assert known() == ["w0"]


def test_one_leader(worklist: Worklist) -> None:
    lead = worklist.upkeep.lead
    assert lead("a", NOON, 60)
    assert not lead("b", after(59), 60)
    assert lead("a", after(59), 60)
    assert not lead("b", after(118), 60)
    assert lead("b", after(119), 60)
    assert not lead("a", after(120), 60)


def test_a_checkpoint_changes_no_row(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    before = worklist.views.worklist()
    worklist.upkeep.checkpoint()
    assert worklist.views.worklist() == before
