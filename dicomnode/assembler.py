"""RECEIVING -> COMPLETE, when the completion policy says so, and on to its jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import structlog

from dicomnode.domain.completion import CompletionPolicy, due_at, is_complete
from dicomnode.domain.job import NewJob
from dicomnode.domain.study import Study, StudyState
from dicomnode.ports import Clock, Studies

_log = structlog.get_logger(__name__)

Decide = Callable[[Study], tuple[Sequence[NewJob], str]]
"""The jobs of a study, or none and the reason."""


class Assembler:
    """Looks at every receiving study and completes those that have gone quiet.

    ``decide``: with it a study becomes complete and is routed in one transaction,
    because each one is a sync that the study waits for.
    """

    def __init__(
        self,
        studies: Studies,
        policy: CompletionPolicy,
        clock: Clock,
        decide: Decide | None = None,
    ) -> None:
        self._studies = studies
        self._policy = policy
        self._clock = clock
        self._decide = decide
        self.due_at: datetime | None = None
        """When the first of the others goes quiet, as the last pass found them."""

    def run_once(self) -> int:
        """One pass; how many studies were completed."""
        now = self._clock.now()
        receiving = self._studies.receiving()
        ready = [one for one in receiving if is_complete(one, self._policy, now)]
        others = (one for one in receiving if one not in ready)
        self.due_at = min((due_at(one, self._policy) for one in others), default=None)
        return sum(self._complete(one, now) for one in ready)

    def _complete(self, study: Study, now: datetime) -> bool:
        """False when an instance came in the meantime."""
        if self._decide is None:
            if not self._studies.complete(study, now):
                return False
            _say("study.complete", study, n_instances=study.n_instances)
            return True
        jobs, reason = self._decide(study)
        reached = self._studies.pass_on(study, jobs, reason, now)
        if reached is None:
            return False
        _say("study.complete", study, n_instances=study.n_instances)
        if reached is not StudyState.COMPLETE:
            event = "study.routed" if jobs else "study.not_routed"
            _say(event, study, pipelines=[job.pipeline for job in jobs])
        return True


def _say(event: str, study: Study, **facts: object) -> None:
    uid, revision = study.study_instance_uid, study.revision
    _log.info(event, study_instance_uid=uid, revision=revision, **facts)
