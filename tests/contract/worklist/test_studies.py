"""Studies: completion and routing."""

from __future__ import annotations

from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    NOON,
    STUDY,
    after,
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
