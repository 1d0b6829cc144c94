"""What waits is found at the ends of the queues, on both databases."""

from __future__ import annotations

import pytest

from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    STUDY,
    after,
    claimed,
    current,
    finished,
    new_result,
    received,
    scheduled,
)


def oldest(worklist: Worklist) -> str | None:
    found = worklist.views.oldest()
    return found and found["study_instance_uid"]


def test_nothing_waits(worklist: Worklist) -> None:
    assert oldest(worklist) is None
    finished(worklist, new_result(1, "PACS"))
    assert oldest(worklist) is None


def test_the_oldest_study_is_found_in_every_state(worklist: Worklist) -> None:
    scheduled(worklist, study="1.2.50", at=after(50), priority=-1)
    assert oldest(worklist) == "1.2.50"
    scheduled(worklist, study="1.2.40", at=after(40), priority=9)
    assert oldest(worklist) == "1.2.40"
    worklist.intake.record(received(study="1.2.30", at=after(30)))
    assert oldest(worklist) == "1.2.30"
    worklist.intake.record(received(study="1.2.20", at=after(20)))
    assert worklist.studies.complete(current(worklist, "1.2.20"), after(60))
    assert oldest(worklist) == "1.2.20"
    claimed(worklist, study="1.2.10", at=after(10))
    assert oldest(worklist) == "1.2.10"


def test_of_jobs_scheduled_at_once_the_study_that_came_first(
    worklist: Worklist,
) -> None:
    for number in (3, 1, 2):
        scheduled(worklist, "cxr", "qc", study=f"1.2.{number}", at=after(number))
    found = worklist.views.oldest()
    assert found is not None
    assert (found["study_instance_uid"], found["pipeline"]) == ("1.2.1", "cxr")


def test_complete_studies_that_nobody_has_routed(worklist: Worklist) -> None:
    for number in (1, 2, 3):
        study = f"1.2.{number}"
        worklist.intake.record(received(study=study, at=after(number)))
        assert worklist.studies.complete(current(worklist, study), after(10 * number))
    found = worklist.views.unrouted(after(25))
    assert found == {"n_studies": 2, "since": "2026-01-31T12:00:10.000000Z"}
    assert worklist.views.unrouted(after(10))["n_studies"] == 0


def test_a_held_study_shall_not_be_routed(worklist: Worklist) -> None:
    worklist.intake.record(received())
    assert worklist.studies.complete(current(worklist), after(10))
    assert worklist.holds.hold_study(STUDY, after(11), "ann")
    assert worklist.views.unrouted(after(99)) == {"n_studies": 0, "since": None}


@pytest.mark.parametrize("n_tried", [1, 3])
def test_late_results_by_destination(worklist: Worklist, n_tried: int) -> None:
    results = [new_result(number, "PACS", "OTHER") for number in (1, 2, 3)]
    finished(worklist, *results)
    assert worklist.views.late() == []
    due = worklist.outbox.due("PACS", after(1), 60, n_tried)
    for number, delivery in enumerate(reversed(due)):
        worklist.outbox.postpone(
            delivery, 0xA700, f"full {number}", after(100 + number), after(2)
        )
    (late,) = worklist.views.late()
    assert (late["destination"], late["n_results"]) == ("PACS", n_tried)
    assert (late["error"], late["attempts"]) == ("full 0", 1)
    assert late["next_attempt_at"] == "2026-01-31T12:01:40.000000Z"
    assert (
        late.items()
        > dict(
            next(
                row
                for row in worklist.views.deliveries(state="PENDING")
                if row["error"] == "full 0"
            )
        ).items()
    )


def test_results_for_a_destination_that_nobody_knows(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "OLD", "PACS"), new_result(2, "OLD"))
    assert worklist.views.stranded({"PACS"}) == {"OLD": 2}
    assert worklist.views.stranded({"PACS", "OLD"}) == {}
    for delivery in worklist.outbox.due("OLD", after(1), 60, 9):
        worklist.outbox.sent(delivery, 0, after(2))
    assert worklist.views.stranded({"PACS"}) == {}
