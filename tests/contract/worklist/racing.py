"""What the racing processes run; each opens the worklist for itself."""

from __future__ import annotations

from dicomnode.worklist import open_worklist
from tests.contract.worklist.making import NOON, received


def claim_all(url: str, worker_id: str) -> list[str]:
    """Claim one job at a time until none is left; their ids."""
    mine: list[str] = []
    with open_worklist(url) as worklist:
        while taken := worklist.jobs.claim(worker_id, ["cxr"], NOON, 60):
            mine += [job.job_id for job in taken]
    return mine


def record_all(url: str, numbers: range) -> list[str]:
    """Record the same instances as everyone else; what came of each."""
    with open_worklist(url) as worklist:
        return [worklist.intake.record(received(n)).value for n in numbers]
