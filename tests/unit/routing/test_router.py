"""Assembler and router on an in-memory Studies port."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dicomnode.assembler import Assembler
from dicomnode.domain.completion import CompletionPolicy
from dicomnode.domain.findings import Presence
from dicomnode.domain.following import FinishedJob
from dicomnode.domain.instance import Instance
from dicomnode.domain.job import Outcome, job_id_of
from dicomnode.domain.ownership import MANUFACTURER
from dicomnode.domain.rules import Rule
from dicomnode.domain.study import Study, StudyState
from dicomnode.router import NO_RULE, OWN_RESULTS, Router

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
STUDY = Study("1.2.3", 2, StudyState.COMPLETE, NOON, NOON, 1, 1, "CT1")
RULES = [Rule("cxr", {"Modality": "DX"}, priority=5), Rule("any", {"Modality": "*"})]
UPRIGHT = Rule("classify", {"Modality": "DX"}, 3, "cxr", {"turned": (Presence.ABSENT,)})
OTHERS = [Rule("ct", {"Modality": "CT"}, after="cxr"), Rule("late", {}, after="any")]


class Later:
    def now(self):
        return NOON + timedelta(seconds=60)


class Studies:
    def __init__(self, *studies, instances=(), moved_on=False):
        self.studies, self._instances, self.moved_on = studies, instances, moved_on
        self.completed, self.routed = [], []
        self.finished, self.followed = [], []

    def receiving(self):
        return self.studies

    def complete(self, study, now):
        self.completed.append(study.study_instance_uid)
        return not self.moved_on

    def pass_on(self, study, jobs, reason, now):
        if not self.complete(study, now):
            return None
        self.route(study, jobs, reason, now)
        return StudyState.ROUTED if jobs else StudyState.NOT_ROUTED

    def unrouted(self):
        return self.studies

    def instances(self, study_instance_uid):
        return self._instances

    def route(self, study, jobs, reason, now):
        self.routed.append((jobs, reason))
        return not self.moved_on

    def unfollowed(self, limit):
        return self.finished[:limit]

    def follow(self, job, followers, skipped, now):
        self.followed.append((followers, skipped))
        return not self.moved_on


def an_instance(**attributes):
    return Instance("1.2.3.4", "1.2", "1.2.3.5", "1.2.840.10008.1.2.1", "x", attributes)


def test_only_quiet_studies_complete():
    busy = replace(STUDY, study_instance_uid="1.9", last_instance_at=Later().now())
    studies = Studies(STUDY, busy)
    assert Assembler(studies, CompletionPolicy(30), Later()).run_once() == 1
    assert studies.completed == ["1.2.3"]


def test_a_study_that_moved_on_meanwhile_is_not_counted():
    studies = Studies(STUDY, moved_on=True)
    assert Assembler(studies, CompletionPolicy(30), Later()).run_once() == 0
    assert Router(studies, RULES, Later()).run_once() == 0


def test_the_next_study_that_goes_quiet_is_known():
    later = [
        replace(STUDY, study_instance_uid=f"1.{n}", last_instance_at=Later().now() - s)
        for n, s in enumerate([timedelta(seconds=5), timedelta(seconds=20)])
    ]
    assembler = Assembler(Studies(STUDY, *later), CompletionPolicy(30), Later())
    assert assembler.due_at is None
    assembler.run_once()
    assert assembler.due_at == Later().now() + timedelta(seconds=10)


def test_a_quiet_study_is_completed_and_routed_in_one_go():
    studies = Studies(STUDY, instances=[an_instance(Modality="DX")])
    router = Router(studies, RULES, Later())
    assembler = Assembler(studies, CompletionPolicy(30), Later(), router.decide)
    assert assembler.run_once() == 1
    assert studies.completed == ["1.2.3"]
    [(jobs, reason)] = studies.routed
    assert ([one.pipeline for one in jobs], reason) == (["cxr", "any"], "")


def test_one_job_for_each_pipeline_that_matches():
    studies = Studies(STUDY, instances=[an_instance(Modality="DX")])
    assert Router(studies, RULES, Later()).run_once() == 1
    [(jobs, reason)] = studies.routed
    assert [(one.pipeline, one.priority) for one in jobs] == [("cxr", 5), ("any", 0)]
    assert {(one.study_instance_uid, one.revision) for one in jobs} == {("1.2.3", 2)}
    assert reason == ""


@pytest.mark.parametrize(
    ("said", "priorities"),
    [("STAT", [2005, 2000]), ("low ", [-995, -1000]), ("soon", [5, 0])],
)
def test_what_the_order_says_of_its_urgency_is_added(said, priorities):
    urgent = an_instance(Modality="DX", RequestedProcedurePriority=said)
    jobs, _ = Router(Studies(STUDY, instances=[urgent]), RULES, Later()).decide(STUDY)
    assert [one.priority for one in jobs] == priorities


@pytest.mark.parametrize(
    ("instance", "reason"),
    [
        (an_instance(), NO_RULE),
        (an_instance(Modality="DX", Manufacturer=MANUFACTURER), OWN_RESULTS),
    ],
)
def test_not_routed_says_why(instance, reason):
    studies = Studies(STUDY, instances=[instance])
    Router(studies, RULES, Later()).run_once()
    assert studies.routed == [([], reason)]


def test_routing_twice_names_the_same_jobs():
    studies = Studies(STUDY, instances=[an_instance(Modality="DX")])
    router = Router(studies, RULES, Later())
    assert router.decide(STUDY) == router.decide(STUDY)


def after_quality_control(presence, **how):
    """What a pass does when ``cxr`` has ended and said ``presence`` of ``turned``."""
    studies = Studies(instances=[an_instance(Modality="DX")], **how)
    found = {"turned": presence}
    studies.finished = [FinishedJob("j", "1.2.3", 2, "cxr", Outcome.ANALYSED, found)]
    router = Router(studies, [*RULES, UPRIGHT, *OTHERS], Later())
    return router.run_once(), studies.followed


def test_a_pipeline_after_another_is_not_routed_at_once():
    studies = Studies(STUDY, instances=[an_instance(Modality="DX")])
    Router(studies, [*RULES, UPRIGHT, *OTHERS], Later()).run_once()
    [(jobs, _)] = studies.routed
    assert [one.pipeline for one in jobs] == ["cxr", "any"]


def test_a_study_that_only_a_later_pipeline_matches_is_not_routed():
    studies = Studies(STUDY, instances=[an_instance(Modality="DX")])
    Router(studies, [UPRIGHT], Later()).run_once()
    assert studies.routed == [([], NO_RULE)]


def test_what_quality_control_found_starts_the_next_pipeline():
    n_done, [(followers, skipped)] = after_quality_control(Presence.ABSENT)
    assert (n_done, skipped) == (1, [])
    [job] = followers
    assert job.job_id == job_id_of("1.2.3", 2, "classify")
    assert (job.pipeline, job.revision, job.priority) == ("classify", 2, 3)


def test_what_quality_control_found_skips_the_next_pipeline_and_says_so():
    _, [(followers, skipped)] = after_quality_control(Presence.PRESENT)
    assert followers == []
    [why] = skipped
    assert why == "pipeline classify: cxr says PRESENT of 'turned', admitted is ABSENT"


def test_a_finished_job_of_an_older_revision_is_not_counted():
    n_done, _ = after_quality_control(Presence.ABSENT, moved_on=True)
    assert n_done == 0


def test_a_job_that_nothing_follows_is_seen_once_and_left():
    studies = Studies()
    studies.finished = [FinishedJob("j", "1.2.3", 2, "cxr", Outcome.ANALYSED)]
    assert Router(studies, RULES, Later()).run_once() == 1
    assert studies.followed == [([], [])]
