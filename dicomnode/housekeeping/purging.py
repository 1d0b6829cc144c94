"""A study removed for good: its files, then its rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dicomnode.errors import WorklistError
from dicomnode.ports import InstanceStore, Purge

_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Purger:
    """Removes studies from the worklist and from both stores."""

    purge: Purge
    instances: InstanceStore
    results: InstanceStore

    def run(self, study_instance_uid: str, now: datetime, by: str, reason: str) -> int:
        """Remove one study; how many files went.

        Killed in the middle it is simply run again: the study stays held meanwhile.
        Raises UnknownStudy, IllegalTransition, WorklistError.
        """
        for _ in range(_ROUNDS):
            study = self.purge.begin(study_instance_uid, now, by)
            for location in study.instance_locations:
                self.instances.delete(location)
            for location in study.result_locations:
                self.results.delete(location)
            if self.purge.finish(study, now, by, reason):
                return len(study.instance_locations) + len(study.result_locations)
        raise WorklistError(
            f"instances of study {study_instance_uid} keep coming; stop their sender, "
            "or `dicomnode drain`, and purge it again"
        )
