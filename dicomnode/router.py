"""COMPLETE -> ROUTED with one job for each pipeline, or NOT_ROUTED with the reason.

Pipelines that come after another one get their jobs when that one's job has completed.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from dicomnode.domain.backfill import lowered
from dicomnode.domain.following import FinishedJob, refusal
from dicomnode.domain.instance import Instance
from dicomnode.domain.job import NewJob, job_id_of
from dicomnode.domain.ownership import is_own_result
from dicomnode.domain.rules import Rule, match
from dicomnode.domain.study import Study
from dicomnode.domain.urgency import urgency
from dicomnode.ports import Clock, Studies

_log = structlog.get_logger(__name__)

OWN_RESULTS = "only our own results came back; nothing to analyse (loop guard)"
NO_RULE = (
    "no pipeline matches this study; if it should be analysed, add or widen a "
    "[[pipeline]] match in the configuration, `dicomnode reload`, and "
    "`dicomnode retry` the study"
)

JOBS_PER_PASS = 256
"""Finished jobs looked at in one pass; the next pass takes the others."""


class Router:
    """Matches complete studies, and finished jobs, against the rules."""

    def __init__(self, studies: Studies, rules: Sequence[Rule], clock: Clock) -> None:
        self._studies = studies
        self._rules = tuple(rules)
        self._clock = clock

    def run_once(self) -> int:
        """One pass; how many studies left COMPLETE and jobs were followed up."""
        routed = sum(self._route(study) for study in self._studies.unrouted())
        finished = self._studies.unfollowed(JOBS_PER_PASS)
        return routed + sum(self._follow(job) for job in finished)

    def _route(self, study: Study) -> bool:
        jobs, reason = self.decide(study)
        if not self._studies.route(study, jobs, reason, self._clock.now()):
            return False
        _log.info(
            "study.routed" if jobs else "study.not_routed",
            study_instance_uid=study.study_instance_uid,
            revision=study.revision,
            pipelines=[job.pipeline for job in jobs],
        )
        return True

    def decide(self, study: Study) -> tuple[list[NewJob], str]:
        """The jobs of a study, or none and the reason."""
        foreign = self._foreign_instances(study)
        if not foreign:
            return [], OWN_RESULTS
        rules = match(foreign, (rule for rule in self._rules if not rule.after))
        urgent = urgency(foreign)
        jobs = [_job(study, rule, urgent) for rule in rules]
        return jobs, "" if rules else NO_RULE

    def _follow(self, job: FinishedJob) -> bool:
        followers, skipped = self.decide_after(job)
        if not self._studies.follow(job, followers, skipped, self._clock.now()):
            return False
        if followers or skipped:
            _log.info(
                "job.followed",
                job_id=job.job_id,
                study_instance_uid=job.study_instance_uid,
                pipelines=[one.pipeline for one in followers],
                skipped=skipped,
            )
        return True

    def decide_after(self, job: FinishedJob) -> tuple[list[NewJob], list[str]]:
        """The jobs that follow ``job``, and why others that match the study do not."""
        rules = [rule for rule in self._rules if rule.after == job.pipeline]
        foreign = self._foreign_instances(job) if rules else []
        wanting = match(foreign, rules)
        refusals = [(rule, refusal(rule, job)) for rule in wanting]
        urgent = urgency(foreign)
        jobs = [_job(job, rule, urgent) for rule, why in refusals if not why]
        skipped = [f"pipeline {rule.pipeline}: {why}" for rule, why in refusals if why]
        return jobs, skipped

    def _foreign_instances(self, study: Study | FinishedJob) -> list[Instance]:
        instances = self._studies.instances(study.study_instance_uid)
        return [one for one in instances if not is_own_result(one.attributes)]


def _job(study: Study | FinishedJob, rule: Rule, urgent: int) -> NewJob:
    # What was urgent once is history: a backfilled study lets every other pass.
    priority = lowered(rule.priority) if study.backfilled else rule.priority + urgent
    return NewJob(
        job_id=job_id_of(study.study_instance_uid, study.revision, rule.pipeline),
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        pipeline=rule.pipeline,
        priority=priority,
    )
