"""Outbox: deliveries are claimed, sent, postponed, given up and committed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.domain.delivery import Accepted, Delivery, NewResult
from dicomnode.domain.job import Outcome
from dicomnode.errors import IllegalTransition, UnknownStudy
from dicomnode.worklist import Worklist
from dicomnode.worklist.outbox import add_result
from dicomnode.worklist.schema import deliveries
from tests.contract.worklist.making import (
    COMPREHENSIVE_SR,
    NOON,
    after,
    claimed,
    current,
    delivered,
    finished,
    kinds,
    new_job,
    new_result,
    received,
    some_uid,
)

ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"
CLASSES = {
    "sr": COMPREHENSIVE_SR,
    "sr-text": "1.2.840.10008.5.1.4.1.1.88.11",
    "sc": "1.2.840.10008.5.1.4.1.1.7",
}


def one_due(worklist: Worklist) -> Delivery:
    finished(worklist, new_result(1, "PACS"))
    (delivery,) = worklist.outbox.due("PACS", NOON, 60, 10)
    return delivery


def only(worklist: Worklist) -> dict[str, object]:
    (found,) = worklist.views.deliveries()
    return found


def test_a_due_delivery_says_all_a_sender_needs(worklist: Worklist) -> None:
    job = finished(worklist, new_result(1, "PACS"))
    (delivery,) = worklist.outbox.due("PACS", NOON, 60, 10)
    result = new_result(1)
    assert delivery == Delivery(
        delivery.delivery_id,
        job.job_id,
        "PACS",
        "sr",
        COMPREHENSIVE_SR,
        result.sop_instance_uid,
        result.location,
        attempts=0,
    )


def test_a_claimed_delivery_is_given_out_again_only_after_its_lease(
    worklist: Worklist,
) -> None:
    delivery = one_due(worklist)
    assert worklist.outbox.due("PACS", after(59), 60, 10) == []
    assert worklist.outbox.due("PACS", after(60), 60, 10) == [delivery]


def test_destinations_do_not_hold_each_other_up(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS", "ARCHIVE"))
    assert len(worklist.outbox.due("PACS", NOON, 60, 10)) == 1
    assert len(worklist.outbox.due("ARCHIVE", NOON, 60, 10)) == 1
    assert worklist.outbox.due("ELSEWHERE", NOON, 60, 10) == []


def test_the_oldest_come_first(worklist: Worklist) -> None:
    for number in range(3):
        finished(worklist, new_result(number, "PACS"), study=some_uid())
    first = worklist.outbox.due("PACS", NOON, 60, 2)
    second = worklist.outbox.due("PACS", NOON, 60, 2)
    order = [one.sop_instance_uid[-1] for one in (*first, *second)]
    assert order == ["0", "1", "2"]


def test_sent(worklist: Worklist) -> None:
    worklist.outbox.sent(one_due(worklist), 0xB000, after(3))
    found = only(worklist)
    assert (found["state"], found["status"], found["attempts"]) == ("SENT", 0xB000, 1)
    assert found["sent_at"] == "2026-01-31T12:00:03.000000Z"
    assert worklist.outbox.due("PACS", after(999), 60, 10) == []


def test_sent_twice_is_sent_once(worklist: Worklist) -> None:
    delivery = one_due(worklist)
    worklist.outbox.sent(delivery, 0x0000, after(3))
    worklist.outbox.sent(delivery, 0x0000, after(4))
    worklist.outbox.postpone(delivery, None, "cut", after(9), after(5))
    worklist.outbox.postpone(delivery, None, "cut", None, after(5))
    found = only(worklist)
    assert (found["state"], found["attempts"], found["error"]) == ("SENT", 1, "")
    assert kinds(worklist).count("delivery send") == 1


def test_postponed(worklist: Worklist) -> None:
    delivery = one_due(worklist)
    worklist.outbox.postpone(delivery, 0xA700, "out of resources", after(60), after(1))
    found = only(worklist)
    assert (found["state"], found["attempts"]) == ("PENDING", 1)
    assert (found["status"], found["error"]) == (0xA700, "out of resources")
    assert found["next_attempt_at"] == "2026-01-31T12:01:00.000000Z"
    assert worklist.outbox.due("PACS", after(59), 60, 10) == []
    (again,) = worklist.outbox.due("PACS", after(60), 60, 10)
    assert again.attempts == 1


def test_an_attempt_is_counted_once(worklist: Worklist) -> None:
    delivery = one_due(worklist)
    for _ in range(2):
        worklist.outbox.postpone(delivery, None, "cut", after(60), after(1))
    assert only(worklist)["attempts"] == 1


def test_the_dead_letter_waits_for_an_admin(worklist: Worklist) -> None:
    delivery = one_due(worklist)
    worklist.outbox.postpone(delivery, 0xC000, "cannot understand", None, after(1))
    assert only(worklist)["state"] == "FAILED"
    assert worklist.outbox.due("PACS", after(999), 60, 10) == []
    with pytest.raises(IllegalTransition, match="FAILED"):
        worklist.outbox.sent(delivery, 0x0000, after(2))
    assert worklist.desk.retry_deliveries(delivery.job_id, after(3)) == 1
    (revived,) = worklist.outbox.due("PACS", after(3), 60, 10)
    assert (revived.delivery_id, revived.attempts) == (delivery.delivery_id, 0)


def test_an_unknown_delivery(worklist: Worklist) -> None:
    stranger = replace(one_due(worklist), delivery_id=4711)
    with pytest.raises(UnknownStudy, match="dicomnode list"):
        worklist.outbox.sent(stranger, 0x0000, NOON)


def test_a_round_is_noted_at_once_but_for_what_is_gone(worklist: Worklist) -> None:
    delivery = one_due(worklist)
    stranger = replace(delivery, delivery_id=4711)
    round_of_two = [Accepted(delivery, 0xB000, after(1)), Accepted(stranger, 0, NOON)]
    with pytest.raises(UnknownStudy, match="dicomnode list"):
        worklist.outbox.accepted(round_of_two)
    found = only(worklist)
    assert (found["state"], found["status"], found["attempts"]) == ("SENT", 0xB000, 1)


def test_the_profile_that_was_used_is_kept(worklist: Worklist) -> None:
    delivered_one = one_due(worklist)
    assert only(worklist)["profile_used"] is None
    worklist.outbox.sent(delivered_one, 0x0000, after(3))
    assert only(worklist)["profile_used"] == "comprehensive"


def test_a_fall_back_is_an_object_of_its_own_under_the_same_job(
    worklist: Worklist,
) -> None:
    delivery = one_due(worklist)
    other = replace(new_result(2), sop_class_uid=ENHANCED_SR)
    worklist.outbox.postpone(delivery, 0x0122, "no context", after(1), after(1))
    (delivery,) = worklist.outbox.due("PACS", after(1), 60, 10)
    worklist.outbox.fall_back(delivery, other, after(2))
    (instead,) = worklist.outbox.due("PACS", after(2), 60, 10)
    assert (instead.delivery_id, instead.job_id) == (
        delivery.delivery_id,
        delivery.job_id,
    )
    assert (instead.sop_class_uid, instead.attempts) == (ENHANCED_SR, 0)
    assert (instead.sop_instance_uid, instead.location) == (
        other.sop_instance_uid,
        other.location,
    )
    worklist.outbox.sent(instead, 0x0000, after(3))
    assert only(worklist)["profile_used"] == "enhanced"
    assert kinds(worklist).count("delivery fall back") == 1


def test_a_fall_back_to_what_goes_out_already_is_no_second_one(
    worklist: Worklist,
) -> None:
    job = claimed(worklist)
    first, other = new_result(1, "PACS"), new_result(2)
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [first], NOON)
    (delivery,) = worklist.outbox.due("PACS", NOON, 60, 10)
    worklist.outbox.fall_back(delivery, other, after(1))
    # The worker did not hear that it had finished, and finishes once more.
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [first], after(2))
    due = worklist.outbox.due("PACS", after(2), 60, 10)
    assert len(due) == 2
    (again,) = (one for one in due if one.sop_instance_uid == first.sop_instance_uid)
    worklist.outbox.fall_back(again, other, after(3))
    states = {d["sop_instance_uid"]: d for d in worklist.views.deliveries()}
    assert states[other.sop_instance_uid]["state"] == "PENDING"
    canceled = states[first.sop_instance_uid]
    assert canceled["state"] == "CANCELED"
    assert other.sop_instance_uid in str(canceled["error"])


def test_an_earlier_attempt_of_the_job_is_not_sent_beside_the_last(
    worklist: Worklist,
) -> None:
    job = claimed(worklist)
    with worklist._database.write() as transaction:
        number = add_result(transaction, job.job_id, new_result(1), NOON)
        values = {"result_id": number, "job_id": job.job_id, "destination": "PACS"}
        values |= {"state": "PENDING", "next_attempt_at": NOON}
        transaction.insert_missing(deliveries, values)
    worklist.jobs.finish(job, Outcome.ANALYSED, "", [new_result(2, "PACS")], after(1))
    (due,) = worklist.outbox.due("PACS", after(2), 60, 10)
    assert due.sop_instance_uid == new_result(2).sop_instance_uid
    assert kinds(worklist).count("delivery supersede") == 1


def job_of_three(worklist: Worklist, *kinds_: str) -> dict[str, Delivery]:
    """A job with results of these kinds, all due: kind -> delivery."""
    results = [
        replace(new_result(number, "PACS"), kind=kind, sop_class_uid=CLASSES[kind])
        for number, kind in enumerate(kinds_)
    ]
    finished(worklist, *results)
    due = worklist.outbox.due("PACS", NOON, 60, 10)
    return {delivery.result_kind: delivery for delivery in due}


def test_a_companion_carries_what_cannot_be_sent(worklist: Worklist) -> None:
    due = job_of_three(worklist, "sr", "sr-text", "sc")
    outbox = worklist.outbox
    assert outbox.replace(due["sr"], "no context; enable it", after(1))
    rows = {one["result_kind"]: one for one in worklist.views.deliveries()}
    assert (rows["sr"]["state"], rows["sr"]["profile_used"]) == (
        "CANCELED",
        "basic-text",
    )
    assert due["sr-text"].sop_instance_uid in rows["sr"]["error"]
    assert rows["sr"]["status"] == 0x0122
    assert outbox.replace(due["sr-text"], "no context", after(1))
    assert not outbox.replace(due["sc"], "no context", after(1))
    rows = {one["result_kind"]: one for one in worklist.views.deliveries()}
    assert rows["sr-text"]["profile_used"] == "secondary-capture"
    assert rows["sc"]["state"] == "PENDING"
    assert kinds(worklist).count("delivery replace") == 2


def test_what_has_failed_itself_carries_nothing(worklist: Worklist) -> None:
    due = job_of_three(worklist, "sr", "sr-text")
    worklist.outbox.postpone(due["sr-text"], 0x0122, "no context", None, after(1))
    assert not worklist.outbox.replace(due["sr"], "no context", after(1))


def test_an_overtaken_revision_is_not_sent(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS", "ARCHIVE"))
    sent_before = delivered(worklist, "ARCHIVE")
    second_revision(worklist, new_result(2, "PACS", "ARCHIVE"))
    due = worklist.outbox.due("PACS", after(99), 60, 10)
    assert [one.sop_instance_uid for one in due] == [new_result(2).sop_instance_uid]
    rows = {
        (one["destination"], one["sop_instance_uid"]): one
        for one in worklist.views.deliveries()
    }
    first = rows["PACS", new_result(1).sop_instance_uid]
    assert first["state"] == "CANCELED"
    assert "revision 2" in str(first["error"])
    assert rows["ARCHIVE", sent_before[0].sop_instance_uid]["state"] == "SENT"


def test_an_overtaken_dead_letter_is_not_revived_after_its_successor(
    worklist: Worklist,
) -> None:
    delivery = one_due(worklist)
    worklist.outbox.postpone(delivery, 0xC000, "cannot understand", None, after(1))
    second_revision(worklist, new_result(2, "PACS"))
    assert worklist.desk.retry_deliveries(delivery.job_id, after(99)) == 0


def test_an_old_revision_that_ends_last_is_not_sent_either(
    worklist: Worklist,
) -> None:
    late = claimed(worklist)
    second_revision(worklist, new_result(2, "PACS"))
    worklist.jobs.finish(late, Outcome.ANALYSED, "", [new_result(1, "PACS")], after(90))
    due = worklist.outbox.due("PACS", after(99), 60, 10)
    assert [one.sop_instance_uid for one in due] == [new_result(2).sop_instance_uid]


def test_an_answer_after_the_cancellation_tells_what_is_there(
    worklist: Worklist,
) -> None:
    under_way = one_due(worklist)
    second_revision(worklist, new_result(2, "PACS"))
    worklist.outbox.postpone(under_way, None, "cut", after(60), after(9))
    states = [one["state"] for one in worklist.views.deliveries()]
    assert sorted(states) == ["CANCELED", "PENDING"]
    worklist.outbox.sent(under_way, 0x0000, after(10))
    assert "SENT" in [one["state"] for one in worklist.views.deliveries()]


def test_a_shadow_result_overtakes_nothing(worklist: Worklist) -> None:
    one_due(worklist)
    second_revision(worklist, new_result(2))
    assert only(worklist)["state"] == "PENDING"


def second_revision(worklist: Worklist, *results: NewResult) -> None:
    """A late instance, analysed."""
    worklist.intake.record(received(2, at=after(4)))
    assert worklist.studies.complete(current(worklist), after(5))
    jobs = [new_job(revision=2)]
    assert worklist.studies.route(current(worklist), jobs, "", after(6))
    (job,) = worklist.jobs.claim("w2", ["cxr"], after(7), 60)
    worklist.jobs.finish(job, Outcome.ANALYSED, "", results, after(8))
