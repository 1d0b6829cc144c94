"""What the kit leaves behind in a node: nothing but its events."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from dicomnode.config import Config
from dicomnode.errors import UnknownStudy
from dicomnode.housekeeping.purging import Purger
from dicomnode.processes import storing, wiring

BY = "dicomnode acceptance"
REASON = "phantom of an acceptance test"


def purge(config: Config, studies: Iterable[str]) -> int:
    """Remove studies with all their results; how many files went."""
    stores = storing.open_store(config), storing.open_results_store(config)
    with wiring.opened_worklist(config, checked=False) as worklist:
        purger = Purger(worklist.purge, *stores)
        return sum(_purged(purger, study) for study in studies)


def _purged(purger: Purger, study: str) -> int:
    try:
        return purger.run(study, datetime.now(UTC), BY, REASON)
    except UnknownStudy:
        return 0
