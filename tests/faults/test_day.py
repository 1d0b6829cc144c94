"""Fault 43: a PACS that is down for a day; in full size: python -m tests.faults.day."""

from __future__ import annotations

from itertools import chain, repeat
from pathlib import Path

from tests.faults.day import POLICY, STEP_SECONDS, measure

N_REPORTS = 70


def test_43_after_a_day_without_the_pacs_all_goes_out_once_and_in_order(
    tmp_path: Path,
) -> None:
    figures = measure(tmp_path, N_REPORTS)
    assert figures.waiting_after_the_day == N_REPORTS
    assert figures.nothing_lost_or_doubled
    assert figures.order_kept
    assert figures.no_stampede
    assert figures.hours_until_all_are_there * 3600 <= max(POLICY.retry_seconds)
    delays = chain(POLICY.retry_seconds, repeat(POLICY.retry_seconds[-1]))
    for gap, delay in zip(figures.gaps, delays, strict=False):
        assert delay <= gap < delay + STEP_SECONDS
