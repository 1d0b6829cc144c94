"""Completion, retry and operating points: pure decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.domain.completion import CompletionPolicy, is_complete
from dicomnode.domain.findings import OperatingPoint, Presence
from dicomnode.domain.job import job_id_of
from dicomnode.domain.retry import next_attempt_at
from dicomnode.domain.study import Study, StudyState

NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
STUDY = Study("1.2.3", 1, StudyState.RECEIVING, NOON, NOON, 1, 2, "CT1")


@pytest.mark.parametrize(
    ("elapsed", "expected"), [(29.9, False), (30.0, True), (-3600.0, False)]
)
def test_a_quiet_period_completes_a_study(elapsed, expected):
    now = NOON + timedelta(seconds=elapsed)
    assert is_complete(STUDY, CompletionPolicy(30), now) is expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (CompletionPolicy(30, expected_n_instances=2), True),
        (CompletionPolicy(30, expected_n_instances=3), False),
        (CompletionPolicy(30, expected_n_series=1), True),
        (CompletionPolicy(30, expected_n_series=2), False),
    ],
)
def test_an_expected_count_completes_at_once(policy, expected):
    assert is_complete(STUDY, policy, NOON) is expected


def test_an_admin_may_force_completion():
    assert is_complete(replace(STUDY, forced=True), CompletionPolicy(30), NOON)


@given(
    attempts=st.integers(1, 20),
    delays=st.lists(st.floats(0, 86400), max_size=10),
)
def test_retries_follow_the_delays_and_then_end(attempts, delays):
    at = next_attempt_at(attempts, delays, NOON)
    if attempts <= len(delays):
        assert at == NOON + timedelta(seconds=delays[attempts - 1])
    else:
        assert at is None


@pytest.mark.parametrize(
    ("probability", "presence"),
    [
        (0.0, Presence.ABSENT),
        (0.39, Presence.ABSENT),
        (0.4, Presence.UNDETERMINED),
        (0.5, Presence.UNDETERMINED),
        (0.6, Presence.PRESENT),
        (1.0, Presence.PRESENT),
    ],
)
def test_the_grey_zone_is_undetermined(probability, presence):
    assert OperatingPoint(0.5, 0.4, 0.6).presence(probability) is presence


@given(
    threshold=st.floats(0, 1),
    low=st.floats(0, 1),
    high=st.floats(0, 1),
    one=st.floats(0, 1),
    other=st.floats(0, 1),
)
def test_presence_never_falls_when_the_probability_rises(
    threshold, low, high, one, other
):
    order = [Presence.ABSENT, Presence.UNDETERMINED, Presence.PRESENT]
    point = OperatingPoint(threshold, low, high)
    lower, higher = sorted((one, other))
    assert order.index(point.presence(lower)) <= order.index(point.presence(higher))


def test_routing_twice_names_the_same_job():
    assert job_id_of("1.2", 1, "p") == job_id_of("1.2", 1, "p")
    assert len({job_id_of("1.2", r, p) for r in (1, 2) for p in "ab"}) == 4
