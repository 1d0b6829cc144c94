"""Studies: completion and routing."""

from __future__ import annotations

from dicomnode.domain.findings import Presence
from dicomnode.domain.following import FinishedJob
from dicomnode.domain.job import Outcome
from dicomnode.domain.study import StudyState
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    NOON,
    STUDY,
    after,
    claimed,
    current,
    kinds,
    new_job,
    received,
    row,
    scheduled,
    some_uid,
)


def test_completion(worklist: Worklist) -> None:
    worklist.intake.record(received())
    assert worklist.studies.complete(current(worklist), after(30))
    assert worklist.studies.receiving() == []
    (study,) = worklist.studies.unrouted()
    assert study.study_instance_uid == STUDY
    assert row(worklist)["completed_at"] == "2026-01-31T12:00:30.000000Z"
    assert kinds(worklist)[-1] == "study complete"


def test_a_study_completes_once(worklist: Worklist) -> None:
    worklist.intake.record(received())
    study = current(worklist)
    assert worklist.studies.complete(study, after(30))
    assert not worklist.studies.complete(study, after(30))
    assert kinds(worklist).count("study complete") == 1


def test_an_instance_in_the_meantime_keeps_the_study_open(worklist: Worklist) -> None:
    worklist.intake.record(received(1))
    study = current(worklist)
    # The clock may stand still between the two.
    worklist.intake.record(received(2))
    assert not worklist.studies.complete(study, after(30))
    assert [one.n_instances for one in worklist.studies.receiving()] == [2]


def test_an_unknown_study_does_not_complete(worklist: Worklist) -> None:
    worklist.intake.record(received())
    stranger = current(worklist)
    object.__setattr__(stranger, "study_instance_uid", "1.2.3")
    assert not worklist.studies.complete(stranger, NOON)


def test_routing_schedules_jobs(worklist: Worklist) -> None:
    scheduled(worklist, "first", "second")
    assert worklist.studies.unrouted() == []
    rows = worklist.views.worklist()
    assert {one["pipeline"] for one in rows} == {"first", "second"}
    assert {one["study_state"] for one in rows} == {"ROUTED"}
    assert {one["job_state"] for one in rows} == {"SCHEDULED"}
    assert kinds(worklist)[-3:] == ["study route", *["job schedule"] * 2]


def test_completing_and_routing_in_one_transaction(worklist: Worklist) -> None:
    worklist.intake.record(received())
    study, before = current(worklist), len(kinds(worklist))
    reached = worklist.studies.pass_on(study, [new_job()], "", after(30))
    assert reached is StudyState.ROUTED
    told = kinds(worklist)[before:]
    assert told == ["study complete", "study route", "job schedule"]
    found = row(worklist)
    assert (found["study_state"], found["job_state"]) == ("ROUTED", "SCHEDULED")
    assert found["completed_at"] == "2026-01-31T12:00:30.000000Z"
    assert worklist.studies.pass_on(study, [new_job()], "", after(31)) is None
    assert len(kinds(worklist)) == before + 3


def test_passing_on_without_a_rule_leaves_a_reason(worklist: Worklist) -> None:
    worklist.intake.record(received())
    reached = worklist.studies.pass_on(current(worklist), [], "no rule", after(30))
    assert reached is StudyState.NOT_ROUTED
    assert row(worklist)["reason"] == "no rule"


def test_an_instance_in_the_meantime_stops_the_passing_on(worklist: Worklist) -> None:
    worklist.intake.record(received(1))
    study = current(worklist)
    worklist.intake.record(received(2))
    assert worklist.studies.pass_on(study, [new_job()], "", after(30)) is None
    assert row(worklist)["study_state"] == "RECEIVING"
    assert worklist.jobs.claim("w1", ["cxr"], after(31), 60) == []


def test_a_held_study_is_completed_and_not_routed(worklist: Worklist) -> None:
    worklist.intake.record(received())
    worklist.holds.hold_study(STUDY, after(1), "an admin")
    reached = worklist.studies.pass_on(current(worklist), [new_job()], "", after(30))
    assert reached is StudyState.COMPLETE
    assert row(worklist)["study_state"] == "COMPLETE"
    worklist.holds.release_study(STUDY, after(40), "an admin")
    (study,) = worklist.studies.unrouted()
    assert worklist.studies.route(study, [new_job()], "", after(41))


def test_no_rule_leaves_a_reason(worklist: Worklist) -> None:
    worklist.intake.record(received())
    worklist.studies.complete(current(worklist), after(30))
    study = current(worklist)
    assert worklist.studies.route(study, [], "no pipeline wants CT", after(31))
    found = row(worklist)
    assert (found["study_state"], found["job_id"]) == ("NOT_ROUTED", None)
    assert found["reason"] == "no pipeline wants CT"


def test_routing_twice_makes_no_second_job(worklist: Worklist) -> None:
    worklist.intake.record(received())
    worklist.studies.complete(current(worklist), NOON)
    study = current(worklist)
    assert worklist.studies.route(study, [new_job()], "", NOON)
    assert not worklist.studies.route(study, [new_job()], "", NOON)
    assert len(worklist.views.worklist()) == 1


def test_a_study_that_moved_on_is_not_routed(worklist: Worklist) -> None:
    worklist.intake.record(received(1))
    worklist.studies.complete(current(worklist), NOON)
    study = current(worklist)
    worklist.intake.record(received(2, at=after(5)))
    assert not worklist.studies.route(study, [new_job()], "", after(6))
    assert row(worklist, revision=1)["study_state"] == "NOT_ROUTED"
    assert worklist.studies.unrouted() == []


def test_the_longest_waiting_study_comes_first(worklist: Worklist) -> None:
    uids = [some_uid() for _ in range(3)]
    for number, uid in enumerate(uids):
        worklist.intake.record(received(study=uid, at=after(-number)))
    found = [study.study_instance_uid for study in worklist.studies.receiving()]
    assert found == uids[::-1]


FOUND = {"inverted": Presence.ABSENT, "turned": Presence.PRESENT}


def ended(worklist: Worklist, study: str = STUDY, seconds: float = 0) -> FinishedJob:
    """A completed job with findings, as the router sees it."""
    job = claimed(worklist, study)
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [], after(seconds), FOUND)
    return FinishedJob(job.job_id, study, 1, "cxr", Outcome.ANALYSED, FOUND)


def test_a_finished_job_shows_what_it_found_until_it_is_followed(
    worklist: Worklist,
) -> None:
    claimed(worklist, some_uid())
    late, early = ended(worklist, some_uid(), 9), ended(worklist, STUDY, 5)
    assert worklist.studies.unfollowed(9) == [early, late]
    assert worklist.studies.unfollowed(1) == [early]
    assert worklist.studies.follow(early, [], [], after(10))
    assert worklist.studies.unfollowed(9) == [late]


def test_a_job_without_findings_is_followed_too(worklist: Worklist) -> None:
    job = claimed(worklist)
    worklist.jobs.finish(job, Outcome.NOT_ANALYSED, "too small", [], NOON)
    (found,) = worklist.studies.unfollowed(9)
    assert (found.outcome, found.findings) == (Outcome.NOT_ANALYSED, {})


def test_followers_are_scheduled_once(worklist: Worklist) -> None:
    first, follower = ended(worklist), new_job(pipeline="classify")
    assert worklist.studies.follow(first, [follower], [], after(1))
    assert not worklist.studies.follow(first, [follower], [], after(2))
    assert kinds(worklist).count("job schedule") == 2
    (job,) = worklist.jobs.claim("w1", ["classify"], after(3), 60)
    assert (job.job_id, job.scheduled_at) == (follower.job_id, after(1))


def test_a_skipped_follower_leaves_an_event(worklist: Worklist) -> None:
    first = ended(worklist)
    assert worklist.studies.follow(first, [], ["pipeline classify: turned"], after(1))
    told = list(worklist.views.events())[-1]
    assert (told["kind"], told["state"]) == ("job skip", None)
    assert (told["job_id"], told["study_instance_uid"]) == (first.job_id, STUDY)
    assert told["detail"] == "pipeline classify: turned"


def test_an_older_revision_gets_no_followers(worklist: Worklist) -> None:
    first = ended(worklist)
    worklist.intake.record(received(2, at=after(5)))
    follower = new_job(pipeline="classify")
    assert not worklist.studies.follow(first, [follower], ["why"], after(6))
    assert worklist.studies.unfollowed(9) == []
    assert {"job skip", "job schedule"} & set(kinds(worklist)[-2:]) == set()
    assert worklist.jobs.claim("w1", ["classify"], after(7), 60) == []
