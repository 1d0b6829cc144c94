"""A study removed for good by a person, and what the audit trail says of it."""

from __future__ import annotations

from dataclasses import dataclass

from dicomnode.config import Config
from dicomnode.errors import DicomNodeError
from dicomnode.housekeeping.purging import Purger
from dicomnode.housekeeping.quarantine import QuarantineKeeper
from dicomnode.processes import storing
from dicomnode.processes.auditing import Auditor
from dicomnode.worklist import Worklist


@dataclass(frozen=True, slots=True)
class Wish:
    """Which study is to go, who wants it, and why."""

    study_instance_uid: str
    by: str
    reason: str


def empty_quarantine(
    config: Config, worklist: Worklist, audit: Auditor, why: str
) -> int:
    """Remove every refused data set that was set aside; how many. Audited."""
    keeper = QuarantineKeeper(
        storing.open_quarantine(config),
        worklist.upkeep,
        audit.clock,
        0,
        lambda what: audit.restricted("empty quarantine", what),
    )
    return keeper.empty(0, why)


def purge(config: Config, worklist: Worklist, audit: Auditor, wish: Wish) -> int:
    """Remove it; how many files went. Audited when it is done, or has failed.

    Raises UnknownStudy, IllegalTransition, WorklistError, OSError.
    """
    purger = Purger(
        worklist.purge, storing.open_store(config), storing.open_results_store(config)
    )
    uid = wish.study_instance_uid
    # Whose it was is known only before.
    study = audit.study_of(worklist.views, uid)
    try:
        n_files = purger.run(uid, audit.clock.now(), wish.by, wish.reason)
    except (DicomNodeError, OSError) as error:
        audit.study_deleted(study, wish.reason, str(error))
        raise
    audit.study_deleted(study, wish.reason)
    worklist.upkeep.checkpoint()
    return n_files
