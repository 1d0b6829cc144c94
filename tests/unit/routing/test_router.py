"""Assembler and router on an in-memory Studies port."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dicomnode.assembler import Assembler
from dicomnode.domain.completion import CompletionPolicy
from dicomnode.domain.instance import Instance
from dicomnode.domain.ownership import MANUFACTURER
from dicomnode.domain.rules import Rule
from dicomnode.domain.study import Study, StudyState
from dicomnode.router import NO_RULE, OWN_RESULTS, Router

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
STUDY = Study("1.2.3", 2, StudyState.COMPLETE, NOON, NOON, 1, 1, "CT1")
RULES = [Rule("cxr", {"Modality": "DX"}, priority=5), Rule("any", {"Modality": "*"})]


class Later:
    def now(self):
        return NOON + timedelta(seconds=60)


class Studies:
    def __init__(self, *studies, instances=(), moved_on=False):
        self.studies, self._instances, self.moved_on = studies, instances, moved_on
        self.completed, self.routed = [], []

    def receiving(self):
        return self.studies

    def complete(self, study, now):
        self.completed.append(study.study_instance_uid)
        return not self.moved_on

    def unrouted(self):
        return self.studies

    def instances(self, study_instance_uid):
        return self._instances

    def route(self, study, jobs, reason, now):
        self.routed.append((jobs, reason))
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


def test_one_job_for_each_pipeline_that_matches():
    studies = Studies(STUDY, instances=[an_instance(Modality="DX")])
    assert Router(studies, RULES, Later()).run_once() == 1
    [(jobs, reason)] = studies.routed
    assert [(one.pipeline, one.priority) for one in jobs] == [("cxr", 5), ("any", 0)]
    assert {(one.study_instance_uid, one.revision) for one in jobs} == {("1.2.3", 2)}
    assert reason == ""


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
