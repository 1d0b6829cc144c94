"""Fault 43: a PACS that is down for a day; in full size: python -m tests.faults.day."""

from __future__ import annotations

from itertools import chain, islice, repeat
from pathlib import Path

import pytest

from dicomnode.domain.absence import LONGEST_SECONDS
from tests.faults.day import POLICY, STEP_SECONDS, measure

N_REPORTS = 70


@pytest.mark.parametrize("spread", [False, True])
def test_43_after_a_day_without_the_pacs_all_goes_out_once_and_in_order(
    tmp_path: Path, spread: bool
) -> None:
    figures = measure(tmp_path, N_REPORTS, spread=spread)
    assert figures.waiting_after_the_day == N_REPORTS
    assert figures.nothing_lost_or_doubled
    assert figures.order_kept
    assert figures.no_stampede
    assert figures.hours_until_all_are_there * 3600 <= LONGEST_SECONDS
    waves = chain(POLICY.retry_seconds, repeat(POLICY.retry_seconds[-1]))
    delays = [min(delay, LONGEST_SECONDS) for delay in islice(waves, len(figures.gaps))]
    for gap, delay in zip(figures.gaps, delays, strict=True):
        assert delay <= gap < delay + STEP_SECONDS
