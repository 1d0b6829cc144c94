"""A pipeline that comes after another: whether what that one found admits the study."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dicomnode.domain.findings import Presence
from dicomnode.domain.job import Outcome
from dicomnode.domain.rules import Rule


@dataclass(frozen=True, slots=True)
class FinishedJob:
    """A COMPLETED job that other pipelines may follow; ``findings`` by label."""

    job_id: str
    study_instance_uid: str
    revision: int
    pipeline: str
    outcome: Outcome
    findings: Mapping[str, Presence] = field(default_factory=dict)
    backfilled: bool = False


def refusal(rule: Rule, first: FinishedJob) -> str:
    """Why ``rule`` does not want a study after its ``first`` job; empty: it does.

    A job that has analysed nothing has found nothing, so it refuses whatever asks for a
    finding. A label that the first pipeline says nothing of is never taken for absent.
    """
    if rule.findings and first.outcome is Outcome.NOT_ANALYSED:
        return f"{first.pipeline} has not analysed the study, so it tells no findings"
    return "; ".join(
        f"{first.pipeline} says {first.findings.get(label, 'nothing')} of {label!r}, "
        f"admitted is {' or '.join(admitted)}"
        for label, admitted in rule.findings.items()
        if first.findings.get(label) not in admitted
    )
