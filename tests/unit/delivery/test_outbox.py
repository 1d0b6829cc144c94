"""The courier: what each answer of a destination does to a delivery."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from dicomnode.delivery.outbox import Courier, RetryPolicy
from dicomnode.delivery.statuses import explain, is_accepted, is_retryable
from dicomnode.domain.delivery import Delivery, Sent
from dicomnode.errors import Unreachable

UNTRIED = "untried"
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)
RESULT = Path(get_testdata_file("test-SR.dcm"))


class Noon:
    def now(self):
        return NOON


class OneResult:
    """A store that holds one result; every other location is missing."""

    def open(self, location):
        if location != "there":
            raise FileNotFoundError(location)
        return io.BytesIO(RESULT.read_bytes())


class Outbox:
    carried = False

    def __init__(self, *deliveries):
        self.waiting, self.notes = list(deliveries), []
        self.present_ones, self.sent_at = [], []

    def due(self, destination, now, lease_seconds, limit):
        taken, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return taken

    def accepted(self, answers):
        for one in answers:
            note = (one.delivery.delivery_id, "sent", one.status, one.check_at)
            self.notes.append(note)
            self.sent_at.append(one.sent_at)

    def postpone(self, delivery, status, error, retry_at, now):
        self.notes.append((delivery.delivery_id, error, status, retry_at))

    def fall_back(self, delivery, result, now):
        self.notes.append((delivery.delivery_id, "fall back", result, None))

    def put_back(self, untried):
        self.notes += [(one.delivery_id, "put back") for one in untried]

    def absent(self, destination, error, delays, now):
        self.notes.append((destination, "absent", error, tuple(delays)))

    def present(self, destination, now):
        self.present_ones.append(destination)

    def replace(self, delivery, error, now):
        if self.carried:
            self.notes.append((delivery.delivery_id, "replace", error, None))
        return self.carried


class Destination:
    """Answers each instance with the next status; an exception is raised."""

    def __init__(self, *answers):
        self.answers, self.files = list(answers), []

    def send(self, instances):
        if isinstance(self.answers[0], Exception):
            raise self.answers[0]
        self.files += [one.path.read_bytes() for one in instances]
        return [self._sent(one) for one in instances]

    def _sent(self, instance):
        status = self.answers.pop(0)
        tried, status = status != UNTRIED, None if status == UNTRIED else status
        fine = status is not None and is_accepted(status)
        error = "" if fine else "no"
        return Sent(instance.sop_instance_uid, status, error, NOON, tried)


def a_delivery(number=1, attempts=0, location="there"):
    return Delivery(number, "job", "PACS", "sr", "1.2", "1.2.3", location, attempts)


def deliver(outbox, destination, delays=(10, 60)):
    courier = Courier(
        "PACS", outbox, OneResult(), destination, Noon(), RetryPolicy(delays)
    )
    return courier.run_once()


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB006, 0xB007])
def test_success_and_warnings_are_sent_with_their_status(status):
    outbox = Outbox(a_delivery())
    destination = Destination(status)
    assert deliver(outbox, destination) == 1
    assert outbox.notes == [(1, "sent", status, None)]
    assert destination.files == [RESULT.read_bytes()]


def test_a_result_is_sent_when_it_was_answered_not_when_the_last_one_was():
    outbox = Outbox(a_delivery(1), a_delivery(2))
    destination = Destination(0, 0)
    answered = iter([NOON - timedelta(seconds=5), NOON - timedelta(seconds=1)])
    sent = destination._sent
    destination._sent = lambda one: replace(sent(one), sent_at=next(answered))
    deliver(outbox, destination)
    assert outbox.sent_at == [NOON - timedelta(seconds=5), NOON - timedelta(seconds=1)]


@pytest.mark.parametrize("status", [0xA700, 0x0110, 0x0124])
def test_what_may_pass_is_tried_again_later(status):
    outbox = Outbox(a_delivery())
    deliver(outbox, Destination(status))
    [(_, _, noted, retry_at)] = outbox.notes
    assert (noted, retry_at) == (status, NOON + timedelta(seconds=10))


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0xC123, 0x0122])
def test_what_will_never_pass_is_a_dead_letter_at_once(status):
    outbox = Outbox(a_delivery())
    deliver(outbox, Destination(status))
    [(_, _, noted, retry_at)] = outbox.notes
    assert (noted, retry_at) == (status, None)


def test_refusals_end_when_the_delays_do():
    outbox = Outbox(a_delivery(attempts=2))
    deliver(outbox, Destination(0xA700))
    assert outbox.notes[0][3] is None


def test_a_pacs_that_is_down_costs_no_delivery_an_attempt():
    outbox = Outbox(a_delivery(1, attempts=500), a_delivery(2))
    deliver(outbox, Destination(Unreachable("down")))
    assert outbox.notes == [
        ("PACS", "absent", "down", (10, 60)),
        (1, "put back"),
        (2, "put back"),
    ]
    assert outbox.present_ones == []


def test_a_pacs_that_answers_is_present_whatever_it_answers():
    outbox = Outbox(a_delivery())
    deliver(outbox, Destination(0xC000))
    assert outbox.present_ones == ["PACS"]


def test_an_object_that_ends_the_association_costs_the_others_no_attempt():
    outbox = Outbox(a_delivery(1), a_delivery(2), a_delivery(3))
    deliver(outbox, Destination(0x0000, None, UNTRIED))
    assert [note[:2] for note in outbox.notes] == [
        (1, "sent"),
        (2, "no"),
        (3, "put back"),
    ]
    assert outbox.present_ones == ["PACS"]


def test_a_pacs_that_takes_associations_and_answers_nothing_is_absent():
    outbox = Outbox(a_delivery(1), a_delivery(2))
    deliver(outbox, Destination(None, UNTRIED))
    assert outbox.notes == [
        ("PACS", "absent", "no", (10, 60)),
        (1, "no", None, NOON + timedelta(seconds=10)),
        (2, "put back"),
    ]


def test_a_result_that_cannot_be_read_holds_up_no_other():
    outbox = Outbox(a_delivery(1, location="gone"), a_delivery(2))
    deliver(outbox, Destination(0x0000))
    assert outbox.notes[0][0] == 1
    assert outbox.notes[0][3] is None
    assert outbox.notes[1] == (2, "sent", 0x0000, None)


def test_every_failure_status_is_explained_with_a_remedy():
    for status in (0xA700, 0xA900, 0xC000, 0x0110, 0x0122, 0x0124, 0xFE00):
        assert not is_accepted(status)
        assert f"0x{status:04X}" in explain(status)
        assert ";" in explain(status)
    assert is_retryable(None)
