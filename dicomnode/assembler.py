"""RECEIVING -> COMPLETE, when the completion policy says so."""

from __future__ import annotations

import structlog

from dicomnode.domain.completion import CompletionPolicy, is_complete
from dicomnode.ports import Clock, Studies

_log = structlog.get_logger(__name__)


class Assembler:
    """Looks at every receiving study and completes those that have gone quiet."""

    def __init__(
        self, studies: Studies, policy: CompletionPolicy, clock: Clock
    ) -> None:
        self._studies = studies
        self._policy = policy
        self._clock = clock

    def run_once(self) -> int:
        """One pass; how many studies were completed."""
        now = self._clock.now()
        completed = 0
        for study in self._studies.receiving():
            if not is_complete(study, self._policy, now):
                continue
            if self._studies.complete(study, now):
                completed += 1
                _log.info(
                    "study.complete",
                    study_instance_uid=study.study_instance_uid,
                    revision=study.revision,
                    n_instances=study.n_instances,
                )
        return completed
