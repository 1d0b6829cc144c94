"""What the kit leaves behind in a node: its events and its audit messages."""

from __future__ import annotations

from collections.abc import Iterable

from dicomnode.config import Config
from dicomnode.errors import UnknownStudy
from dicomnode.processes import wiring
from dicomnode.processes.auditing import Auditor, audited_command
from dicomnode.processes.purging import Wish
from dicomnode.processes.purging import purge as purge_one
from dicomnode.worklist import Worklist

BY = "dicomnode acceptance"
REASON = "phantom of an acceptance test"


def purge(config: Config, studies: Iterable[str]) -> int:
    """Remove studies with all their results, audited; how many files went."""
    with (
        wiring.opened_worklist(config, checked=False) as worklist,
        audited_command("acceptance", config) as audit,
    ):
        return sum(_purged(config, worklist, audit, study) for study in studies)


def _purged(config: Config, worklist: Worklist, audit: Auditor, study: str) -> int:
    try:
        return purge_one(config, worklist, audit, Wish(study, BY, REASON))
    except UnknownStudy:
        return 0
