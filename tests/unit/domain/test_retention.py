"""How long a study stays: the first rule that matches decides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dicomnode.domain.instance import Instance
from dicomnode.domain.ownership import INSTANCE_CREATOR_UID
from dicomnode.domain.retention import (
    Retention,
    RetentionRule,
    days_kept,
    ends_before,
    is_over,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
BY_KIND = Retention(
    7,
    (
        RetentionRule({"Modality": ["CT", "MR"], "BodyPartExamined": "HEAD"}, 30),
        RetentionRule({"Modality": "CT"}, 2),
        RetentionRule({"Modality": "DX", "StudyDescription": "*thorax*"}, 365.5),
    ),
)


def of(**attributes: str) -> Instance:
    return Instance("1.2", "1.3", "1.4", "1.5", "a/file", attributes)


@pytest.mark.parametrize(
    ("instances", "days"),
    [
        ([of(Modality="CT")], 2),
        ([of(Modality="CT", BodyPartExamined="HEAD")], 30),
        ([of(Modality="CT"), of(Modality="MR", BodyPartExamined="HEAD")], 30),
        ([of(Modality="CT"), of(Modality="DX", BodyPartExamined="HEAD")], 2),
        ([of(Modality="DX", StudyDescription="Thorax p.a.")], 365.5),
        ([of(Modality="DX")], 7),
        (
            [
                of(Modality="US"),
                of(Modality="CT", InstanceCreatorUID=INSTANCE_CREATOR_UID),
            ],
            7,
        ),
        ([], 7),
    ],
)
def test_the_first_rule_that_matches_decides(
    instances: list[Instance], days: float
) -> None:
    assert days_kept(BY_KIND, instances) == days


def test_no_study_goes_before_the_shortest_or_stays_beyond_the_longest() -> None:
    assert (BY_KIND.shortest_days, BY_KIND.longest_days) == (2, 365.5)
    alone = Retention(3)
    assert (alone.shortest_days, alone.longest_days) == (3, 3)
    assert days_kept(alone, [of(Modality="CT")]) == 3


def test_time_is_over_once_it_has_passed() -> None:
    ended_at = NOW - timedelta(days=2)
    assert not is_over(ended_at, 2, NOW)
    assert is_over(ended_at, 2, NOW + timedelta(microseconds=1))
    assert ends_before(2, NOW) == ended_at
