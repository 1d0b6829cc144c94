"""What a backfill decides about one study."""

from __future__ import annotations

import pytest

from dicomnode.domain.backfill import (
    BACKFILL_PRIORITY,
    LEAST_PRIORITY,
    NOTHING,
    JobStanding,
    Standing,
    after_receiving,
    before_asking,
    daily,
    lowered,
)
from dicomnode.domain.job import JobState, Outcome
from dicomnode.domain.study import StudyState

DONE = JobStanding("cxr", JobState.COMPLETED, Outcome.ANALYSED, "", settled=True)
MUTE = JobStanding(
    "ct", JobState.COMPLETED, Outcome.NOT_ANALYSED, "no image", settled=True
)
OPEN = JobStanding("late", JobState.SCHEDULED, None, "", settled=False)
UNFOLLOWED = JobStanding("cxr", JobState.COMPLETED, Outcome.ANALYSED, "", settled=False)
DEAD = JobStanding("cxr", JobState.FAILED, None, "no memory", settled=False)


def routed(*jobs: JobStanding) -> Standing:
    return Standing(StudyState.ROUTED, "", 2, jobs)


@pytest.mark.parametrize(
    ("standing", "event"),
    [
        (Standing(None), ""),
        (Standing(StudyState.RECEIVING, n_instances=1), ""),
        (routed(DONE, OPEN), ""),
        (routed(DEAD), ""),
        (routed(DONE, MUTE), "skip"),
    ],
)
def test_only_what_is_done_is_not_asked_for(standing: Standing, event: str) -> None:
    assert before_asking(standing)[0] == event


@pytest.mark.parametrize(
    ("standing", "verdict"),
    [
        (Standing(StudyState.RECEIVING, n_instances=1), NOTHING),
        (Standing(StudyState.NOT_ROUTED, "no rule"), ("skip", "no rule")),
        (routed(OPEN, DONE), NOTHING),
        # Until the router has looked whether another pipeline follows.
        (routed(UNFOLLOWED), NOTHING),
        (routed(DONE), ("analyse", "")),
        (routed(DONE, MUTE), ("analyse", "ct: no image")),
        (routed(DONE, DEAD), ("fail", "pipeline cxr FAILED: no memory")),
    ],
)
def test_what_became_of_a_study(standing: Standing, verdict: tuple[str, str]) -> None:
    assert after_receiving(standing) == verdict


def test_every_backfilled_job_is_below_every_other() -> None:
    assert lowered(2000) < -1000
    assert lowered(1) > lowered(0) == BACKFILL_PRIORITY
    assert lowered(-(2**31)) == LEAST_PRIORITY


def test_a_range_of_days_is_asked_day_by_day() -> None:
    query = {"StudyDate": "20240228-20240301", "Modality": "DX"}
    days = [one["StudyDate"] for one in daily(query)]
    assert days == ["20240228", "20240229", "20240301"]
    assert all(one["Modality"] == "DX" for one in daily(query))
    for whole in ("20240228-", "-20240228", "20240228", ""):
        assert list(daily({"StudyDate": whole})) == [{"StudyDate": whole}]
    with pytest.raises(ValueError, match="invalid"):
        next(daily({"StudyDate": "2024-2025"}))
