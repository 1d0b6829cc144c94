"""The decisions of reconcile, without a database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dicomnode.domain.delivery import DeliveryState
from dicomnode.domain.job import JobState, Outcome
from dicomnode.domain.reconciliation import (
    MOST_REASONS,
    FileFacts,
    JobFacts,
    Kind,
    Measure,
    Standing,
    StudyFacts,
    Sums,
    in_file,
    in_study,
    own_results,
    standing_of,
    standing_of_result,
)
from dicomnode.domain.study import StudyState

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def job(
    state: JobState,
    outcome: Outcome | None = None,
    reason: str = "",
    n_results: int = 1,
) -> JobFacts:
    return JobFacts("7f", state, outcome, reason, n_results, NOON)


def study(
    state: StudyState, *jobs: JobFacts, counted: int = 2, rows: int = 2
) -> StudyFacts:
    return StudyFacts("1.2", state, "", counted, rows, jobs)


DONE = job(JobState.COMPLETED, Outcome.ANALYSED)
NOT = job(JobState.COMPLETED, Outcome.NOT_ANALYSED, "lateral")
FAILED = job(JobState.FAILED, reason="broken")
CANCELED = job(JobState.CANCELED, reason="by an admin")
WAITING = job(JobState.SCHEDULED)


@pytest.mark.parametrize(
    ("facts", "standing", "reason"),
    [
        (study(StudyState.RECEIVING), Standing.WAITING, ""),
        (study(StudyState.COMPLETE), Standing.WAITING, ""),
        (study(StudyState.NOT_ROUTED), Standing.EXCLUDED, "no rule wants it"),
        (study(StudyState.ROUTED), Standing.WAITING, ""),
        (study(StudyState.ROUTED, DONE), Standing.ANALYSED, ""),
        (study(StudyState.ROUTED, DONE, FAILED), Standing.ANALYSED, ""),
        (study(StudyState.ROUTED, DONE, WAITING), Standing.WAITING, ""),
        (study(StudyState.ROUTED, NOT, FAILED), Standing.FAILED, ""),
        (study(StudyState.ROUTED, NOT), Standing.EXCLUDED, "lateral"),
        (
            study(StudyState.ROUTED, NOT, CANCELED),
            Standing.EXCLUDED,
            "lateral; by an admin",
        ),
    ],
)
def test_where_a_study_stands(
    facts: StudyFacts, standing: Standing, reason: str
) -> None:
    assert standing_of(facts) == (standing, reason)


def test_every_instance_is_counted_once() -> None:
    sums = Sums()
    sums.add_study(study(StudyState.ROUTED, DONE, counted=2, rows=5))
    sums.add_study(study(StudyState.NOT_ROUTED, counted=1, rows=1))
    assert sums.instances.total() == 6
    assert sums.reasons == {
        "a result of this node that came back": 3,
        "no rule wants it": 1,
    }


def test_reasons_are_bounded() -> None:
    sums = Sums()
    for number in range(MOST_REASONS + 5):
        sums.exclude(f"reason {number}", 1)
    assert len(sums.reasons) == MOST_REASONS + 1
    assert sums.reasons["other reasons"] == 5


def test_what_does_not_fit() -> None:
    lost = study(StudyState.ROUTED, counted=3, rows=2)
    assert [one.kind for one in in_study(lost, NOON)] == [Kind.ROWS_LOST, Kind.NO_JOB]
    assert own_results(lost) == 0
    empty = job(JobState.COMPLETED, Outcome.ANALYSED, n_results=0)
    held = job(JobState.IN_PROGRESS)
    facts = study(StudyState.ROUTED, empty, held)
    late = NOON + timedelta(seconds=1)
    assert [one.kind for one in in_study(facts, late)] == [
        Kind.NO_RESULT,
        Kind.LEASE_ENDED,
    ]
    assert [one.kind for one in in_study(facts, NOON)] == [Kind.NO_RESULT]


@pytest.mark.parametrize(
    ("marked", "found", "digest", "kind"),
    [
        (False, Measure(9, NOON), None, None),
        (False, Measure(9, NOON), "aa", None),
        (False, Measure(9, NOON), "bb", Kind.FILE_DAMAGED),
        (False, Measure(8, NOON), None, Kind.FILE_DAMAGED),
        (False, None, None, Kind.FILE_MISSING),
        (True, None, None, None),
        (True, Measure(9, NOON), "bb", None),
        (True, Measure(9, NOON), "aa", Kind.FILE_FOUND),
    ],
)
def test_what_is_wrong_with_a_file(
    marked: bool, found: Measure | None, digest: str | None, kind: Kind | None
) -> None:
    row = FileFacts("00/1/1", "aa", 9, NOON, "1", marked=marked)
    wrong = in_file(row, found, digest)
    assert (wrong and wrong.kind) == kind
    if wrong:
        assert "reconcile" in wrong.remedy


@pytest.mark.parametrize(
    ("states", "standing"),
    [
        ((), Standing.KEPT),
        ((DeliveryState.CANCELED,), Standing.KEPT),
        ((DeliveryState.SENT, DeliveryState.COMMITTED), Standing.DELIVERED),
        ((DeliveryState.SENT, DeliveryState.PENDING), Standing.WAITING),
        ((DeliveryState.REJECTED, DeliveryState.PENDING), Standing.FAILED),
    ],
)
def test_where_a_result_stands(
    states: tuple[DeliveryState, ...], standing: Standing
) -> None:
    assert standing_of_result(states) == standing
