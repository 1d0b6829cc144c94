"""Storage commitment in the worklist: asked, answered, overdue, lost (PS3.4 J)."""

from __future__ import annotations

from datetime import datetime

import pytest

from dicomnode.domain.commitment import (
    Asked,
    Check,
    CommitmentAnswer,
    Failed,
    Unconfirmed,
)
from dicomnode.ports import KeptInstance
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    COMPREHENSIVE_SR,
    CT,
    NOON,
    STUDY,
    after,
    finished,
    kinds,
    new_result,
    received,
    some_uid,
)


def sent(worklist: Worklist, *numbers: int, at: datetime = NOON) -> list[Unconfirmed]:
    """Results that were sent and are to be asked about."""
    finished(worklist, *(new_result(number, "PACS") for number in numbers or (1,)))
    send_due(worklist, at)
    return list(worklist.commitments.unconfirmed("PACS", after(1), 60, 10))


def send_due(worklist: Worklist, at: datetime) -> None:
    for delivery in worklist.outbox.due("PACS", at, 60, 10):
        worklist.outbox.sent(delivery, 0x0000, at, check_at=at)


def ask(worklist: Worklist, *about: Unconfirmed, uid: str = "") -> str:
    transaction_uid = uid or some_uid()
    asked = Asked(transaction_uid, "PACS", after(1), overdue_at=after(60))
    worklist.commitments.asked(asked, about)
    return transaction_uid


def row(worklist: Worklist, number: int = 1) -> dict[str, object]:
    uid = new_result(number).sop_instance_uid
    (found,) = (
        one for one in worklist.views.deliveries() if one["sop_instance_uid"] == uid
    )
    return found


def test_what_is_sent_without_a_check_is_never_asked_about(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"))
    for delivery in worklist.outbox.due("PACS", NOON, 60, 10):
        worklist.outbox.sent(delivery, 0x0000, NOON)
    assert worklist.commitments.unconfirmed("PACS", after(9999), 60, 10) == []


def test_a_check_that_is_due_says_all_that_is_needed(worklist: Worklist) -> None:
    (one,) = sent(worklist)
    assert (one.study_instance_uid, one.series_instance_uid) == (STUDY, f"{STUDY}.9")
    assert (one.reference.sop_class_uid, one.reference.sop_instance_uid) == (
        COMPREHENSIVE_SR,
        new_result(1).sop_instance_uid,
    )
    assert (one.check, one.checks, one.failure_reason) == (Check.ASK, 0, None)


def test_a_claimed_check_is_given_out_again_only_after_its_lease(
    worklist: Worklist,
) -> None:
    claimed = sent(worklist)
    assert worklist.commitments.unconfirmed("PACS", after(60), 60, 10) == []
    assert worklist.commitments.unconfirmed("PACS", after(61), 60, 10) == claimed
    assert worklist.commitments.unconfirmed("OTHER", after(999), 60, 10) == []


def test_a_promise(worklist: Worklist) -> None:
    one, other = sent(worklist, 1, 2)
    uid = ask(worklist, one, other)
    assert worklist.commitments.unconfirmed("PACS", after(59), 60, 10) == []
    answer = CommitmentAnswer(uid, (one.reference, other.reference))
    assert worklist.commitments.answer(answer, after(9))
    for number in (1, 2):
        found = row(worklist, number)
        assert (found["state"], found["transaction_uid"]) == ("COMMITTED", uid)
        assert found["committed_at"] == "2026-01-31T12:00:09.000000Z"
        assert found["check_at"] is None
    assert kinds(worklist).count("delivery commit") == 2


def test_an_answer_that_comes_twice_counts_once(worklist: Worklist) -> None:
    (one,) = sent(worklist)
    answer = CommitmentAnswer(ask(worklist, one), (one.reference,))
    assert worklist.commitments.answer(answer, after(9))
    assert worklist.commitments.answer(answer, after(10))
    assert row(worklist)["committed_at"] == "2026-01-31T12:00:09.000000Z"
    assert kinds(worklist).count("delivery commit") == 1


def test_an_answer_to_nothing_we_asked_changes_nothing(worklist: Worklist) -> None:
    (one,) = sent(worklist)
    ask(worklist, one)
    stray = CommitmentAnswer(some_uid(), (one.reference,))
    assert not worklist.commitments.answer(stray, after(9))
    assert row(worklist)["state"] == "SENT"


def test_a_promise_of_one_destination_says_nothing_of_another(
    worklist: Worklist,
) -> None:
    finished(worklist, new_result(1, "PACS", "ARCHIVE"))
    for name in ("PACS", "ARCHIVE"):
        for delivery in worklist.outbox.due(name, NOON, 60, 10):
            worklist.outbox.sent(delivery, 0x0000, NOON, check_at=NOON)
    (one,) = worklist.commitments.unconfirmed("PACS", NOON, 60, 10)
    worklist.commitments.answer(
        CommitmentAnswer(ask(worklist, one), (one.reference,)), after(9)
    )
    states = {d["destination"]: d["state"] for d in worklist.views.deliveries()}
    assert states == {"PACS": "COMMITTED", "ARCHIVE": "SENT"}


def test_an_overdue_answer_still_counts_when_it_comes(worklist: Worklist) -> None:
    (one,) = sent(worklist)
    first = ask(worklist, one)
    (overdue,) = worklist.commitments.unconfirmed("PACS", after(60), 60, 10)
    assert overdue.check is Check.WAIT
    worklist.commitments.unanswered(overdue, "no answer", after(70), after(60))
    (again,) = worklist.commitments.unconfirmed("PACS", after(70), 60, 10)
    assert (again.check, again.checks) == (Check.ASK, 1)
    ask(worklist, again)
    worklist.commitments.answer(CommitmentAnswer(first, (one.reference,)), after(99))
    assert row(worklist)["state"] == "COMMITTED"


def test_a_named_failure_is_due_at_once_with_its_reason(worklist: Worklist) -> None:
    one, other = sent(worklist, 1, 2)
    uid = ask(worklist, one, other)
    failed = Failed(other.reference, 0x0112)
    worklist.commitments.answer(
        CommitmentAnswer(uid, (one.reference,), (failed,)), after(9)
    )
    assert row(worklist, 1)["state"] == "COMMITTED"
    (due,) = worklist.commitments.unconfirmed("PACS", after(9), 60, 10)
    assert (due.sop_instance_uid, due.failure_reason) == (
        other.sop_instance_uid,
        0x0112,
    )


def test_a_failure_in_an_old_transaction_is_stale(worklist: Worklist) -> None:
    (one,) = sent(worklist)
    first = ask(worklist, one)
    ask(worklist, one)
    failed = Failed(one.reference, 0x0112)
    assert worklist.commitments.answer(CommitmentAnswer(first, (), (failed,)), after(9))
    assert worklist.commitments.unconfirmed("PACS", after(9), 60, 10) == []


def test_what_is_lost_goes_out_again_and_is_asked_about_again(
    worklist: Worklist,
) -> None:
    (one,) = sent(worklist)
    uid = ask(worklist, one)
    worklist.commitments.lost(one, "0x0112 not there", after(20), after(10))
    found = row(worklist)
    assert (found["state"], found["error"]) == ("PENDING", "0x0112 not there")
    assert worklist.outbox.due("PACS", after(19), 60, 10) == []
    send_due(worklist, after(20))
    (again,) = worklist.commitments.unconfirmed("PACS", after(20), 60, 10)
    assert (again.check, again.checks, again.failure_reason) == (Check.ASK, 1, None)
    # The promise to the first request comes late, and is one all the same.
    worklist.commitments.answer(CommitmentAnswer(uid, (one.reference,)), after(30))
    assert row(worklist)["state"] == "COMMITTED"


def test_what_is_lost_for_good_waits_for_an_admin(worklist: Worklist) -> None:
    (one,) = sent(worklist)
    uid = ask(worklist, one)
    worklist.commitments.lost(one, "0x0112 not there", None, after(10))
    found = row(worklist)
    assert (found["state"], found["check_at"]) == ("REJECTED", None)
    assert worklist.desk.retry_deliveries(one.job_id, after(11)) == 1
    send_due(worklist, after(12))
    (again,) = worklist.commitments.unconfirmed("PACS", after(12), 60, 10)
    assert again.checks == 0
    worklist.commitments.lost(again, "0x0112 not there", None, after(13))
    worklist.commitments.answer(CommitmentAnswer(uid, (one.reference,)), after(30))
    assert row(worklist)["state"] == "COMMITTED"


def test_what_is_shown_is_verified_and_no_promise(worklist: Worklist) -> None:
    (one,) = sent(worklist)
    worklist.commitments.verified(one, None, after(1), after(9))
    found = row(worklist)
    assert (found["state"], found["check_at"]) == ("SENT", None)
    assert found["verified_at"] == "2026-01-31T12:00:09.000000Z"
    assert kinds(worklist).count("delivery check") == 1
    assert worklist.commitments.unconfirmed("PACS", after(9999), 60, 10) == []


def test_another_check_later(worklist: Worklist) -> None:
    (one,) = sent(worklist)
    worklist.commitments.recheck(one, Check.LOOK, "offers no commitment", after(30))
    assert worklist.commitments.unconfirmed("PACS", after(29), 60, 10) == []
    (later,) = worklist.commitments.unconfirmed("PACS", after(30), 60, 10)
    assert (later.check, later.checks) == (Check.LOOK, 0)


@pytest.mark.parametrize("waits", [True, False])
def test_files_stay_while_a_promise_is_awaited(worklist: Worklist, waits: bool) -> None:
    (one,) = sent(worklist)
    if not waits:
        worklist.commitments.recheck(one, None, "", after(2))
    assert bool(worklist.upkeep.ended(after(99_999), 10)) is not waits


def test_what_is_kept_of_what_a_modality_names(worklist: Worklist) -> None:
    for number in (1, 2):
        worklist.intake.record(received(number))
    worklist.intake.record(received(1, content="other"))
    first, second = (received(number).key.sop_instance_uid for number in (1, 2))
    many = [f"1.2.3.{number}" for number in range(2500)]
    kept = worklist.intake.kept([first, second, *many])
    assert kept == {
        uid: KeptInstance(CT, received(number).stored.location)
        for number, uid in ((1, first), (2, second))
    }
    worklist.upkeep.forget_files(STUDY, after(9))
    assert worklist.intake.kept([first]) == {}
    worklist.intake.record(received(1))
    assert list(worklist.intake.kept([first])) == [first], "it came again"
