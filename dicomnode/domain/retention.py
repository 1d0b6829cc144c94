"""How long the files of a study stay once all is done with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from dicomnode.domain.instance import Instance
from dicomnode.domain.ownership import is_own_result
from dicomnode.domain.rules import Condition, fits


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Studies with an instance that fits ``conditions`` stay for ``keep_days``."""

    conditions: Mapping[str, Condition]
    keep_days: float


@dataclass(frozen=True, slots=True)
class Retention:
    """The rules in their order; ``keep_days``: of a study that none of them matches."""

    keep_days: float
    rules: tuple[RetentionRule, ...] = ()

    @property
    def shortest_days(self) -> float:
        """No study goes earlier, whatever it is."""
        return min(self._days)

    @property
    def longest_days(self) -> float:
        """No study stays longer, whatever it is."""
        return max(self._days)

    @property
    def _days(self) -> Iterable[float]:
        return (self.keep_days, *(rule.keep_days for rule in self.rules))


def days_kept(retention: Retention, instances: Iterable[Instance]) -> float:
    """Days that a study with ``instances`` stays: the first rule that matches decides.

    As with pipelines, our own results that a PACS has sent back match nothing.
    """
    foreign = [one for one in instances if not is_own_result(one.attributes)]
    for rule in retention.rules:
        if any(fits(rule.conditions, one) for one in foreign):
            return rule.keep_days
    return retention.keep_days


def is_over(ended_at: datetime, days: float, now: datetime) -> bool:
    """Whether a study that ended at ``ended_at`` has stayed for ``days``."""
    return ended_at < ends_before(days, now)


def ends_before(days: float, now: datetime) -> datetime:
    """What ended before this instant has stayed for ``days``."""
    return now - timedelta(days=days)
