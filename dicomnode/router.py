"""COMPLETE -> ROUTED with one job for each pipeline, or NOT_ROUTED with the reason."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from dicomnode.domain.instance import Instance
from dicomnode.domain.job import NewJob, job_id_of
from dicomnode.domain.ownership import is_own_result
from dicomnode.domain.rules import Rule, match
from dicomnode.domain.study import Study
from dicomnode.ports import Clock, Studies

_log = structlog.get_logger(__name__)

OWN_RESULTS = "only our own results came back; nothing to analyse (loop guard)"
NO_RULE = (
    "no pipeline matches this study; if it should be analysed, add or widen a "
    "[[pipeline]] match in the configuration, restart, and `dicomnode retry` the study"
)


class Router:
    """Matches complete studies against the rules of the pipelines."""

    def __init__(self, studies: Studies, rules: Sequence[Rule], clock: Clock) -> None:
        self._studies = studies
        self._rules = tuple(rules)
        self._clock = clock

    def run_once(self) -> int:
        """One pass; how many studies left COMPLETE."""
        return sum(self._route(study) for study in self._studies.unrouted())

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
        rules = match(foreign, self._rules)
        return [_job(study, rule) for rule in rules], "" if rules else NO_RULE

    def _foreign_instances(self, study: Study) -> list[Instance]:
        instances = self._studies.instances(study.study_instance_uid)
        return [one for one in instances if not is_own_result(one.attributes)]


def _job(study: Study, rule: Rule) -> NewJob:
    return NewJob(
        job_id=job_id_of(study.study_instance_uid, study.revision, rule.pipeline),
        study_instance_uid=study.study_instance_uid,
        revision=study.revision,
        pipeline=rule.pipeline,
        priority=rule.priority,
    )
