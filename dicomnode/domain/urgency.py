"""How urgent a study is by its header: what the order said (PS3.3 C.4.11)."""

from __future__ import annotations

from collections.abc import Iterable

from dicomnode.domain.instance import Instance

URGENCIES = {"STAT": 2000, "HIGH": 1000, "ROUTINE": 0, "MEDIUM": 0, "LOW": -1000}
"""Requested Procedure Priority (0040,1003) -> what it adds to a pipeline's priority."""


def urgency(instances: Iterable[Instance]) -> int:
    """That of the most urgent instance; 0 where none says anything."""
    said = [URGENCIES[word] for one in instances if (word := _word(one)) in URGENCIES]
    return max(said, default=0)


def _word(instance: Instance) -> str:
    value = instance.attributes.get("RequestedProcedurePriority", "")
    return value.strip().upper() if isinstance(value, str) else ""
