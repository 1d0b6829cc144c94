"""Outbox: deliveries are claimed, sent, postponed, given up and committed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicomnode.domain.delivery import Delivery
from dicomnode.errors import IllegalTransition, UnknownStudy
from dicomnode.worklist import Worklist
from tests.contract.worklist.making import (
    COMPREHENSIVE_SR,
    NOON,
    after,
    delivered,
    finished,
    kinds,
    new_result,
    some_uid,
)


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


def test_storage_commitment(worklist: Worklist) -> None:
    finished(worklist, new_result(1, "PACS"), new_result(2, "PACS"))
    assert worklist.outbox.uncommitted("PACS", after(99), 10) == []
    first, second = delivered(worklist)
    assert worklist.outbox.uncommitted("PACS", NOON, 10) == []
    waiting = worklist.outbox.uncommitted("PACS", after(1), 10)
    assert [one.delivery_id for one in waiting] == [
        first.delivery_id,
        second.delivery_id,
    ]
    outbox = worklist.outbox
    assert outbox.committed("PACS", first.sop_instance_uid, after(9)) == 1
    assert outbox.committed("PACS", first.sop_instance_uid, after(10)) == 0
    assert outbox.rejected("PACS", second.sop_instance_uid, "0x0112", after(9)) == 1
    assert outbox.rejected("OTHER", first.sop_instance_uid, "0x0112", after(9)) == 0
    found = {one["sop_instance_uid"]: one for one in worklist.views.deliveries()}
    done, gone = found[first.sop_instance_uid], found[second.sop_instance_uid]
    assert (done["state"], gone["state"]) == ("COMMITTED", "REJECTED")
    assert done["committed_at"] == "2026-01-31T12:00:09.000000Z"
    assert gone["error"] == "0x0112"
