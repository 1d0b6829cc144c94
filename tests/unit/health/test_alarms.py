"""What is an alarm, when it is told, and that it is told once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from dicomnode.alerting.watching import SAY_AGAIN, Alerts
from dicomnode.domain.silence import parsed, silent_seconds
from dicomnode.errors import AlertError
from dicomnode.health.alarms import (
    Alarm,
    Certificate,
    Limits,
    Sender,
    Survey,
    alarms,
    short_hash,
)
from dicomnode.health.digest import Digest, Periods, Told, due
from dicomnode.health.problems import Disk, Snapshot

# A Saturday.
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LIMITS = Limits(destination_down_minutes=30, disk_percent=85, certificate_days=21)
PERIODS = Periods(digest_seconds=900, remind_seconds=86400)
WELL = Survey(Snapshot(NOON, {}, lease_seconds=120))
STUDY = "1.2.840.99.4711"


def ago(**span: float) -> datetime:
    return NOON - timedelta(**span)


def keys(survey: Survey) -> list[str]:
    return [one.key for one in alarms(survey, LIMITS)]


def test_a_node_that_is_well_raises_none() -> None:
    assert keys(WELL) == []


def test_failed_jobs_are_named_by_number_and_short_hash_only() -> None:
    row = {"job_id": "j1", "error": "of Doe^Jane", "study_instance_uid": STUDY}
    snapshot = replace(WELL.snapshot, counts={"job": {"FAILED": 3}}, failed=[row])
    (found,) = alarms(replace(WELL, snapshot=snapshot), LIMITS)
    assert (found.key, found.number) == ("jobs-failed", 3)
    assert found.jobs == (f"j1 st:{short_hash(STUDY)}",)
    assert "Doe" not in repr(found)
    assert STUDY not in repr(found)


@pytest.mark.parametrize(
    ("minutes", "attempts", "found"),
    [(31, 3, ["destination-down:PACS"]), (29, 3, []), (31, 0, [])],
)
def test_a_destination_is_down(minutes: int, attempts: int, found: list[str]) -> None:
    row = {
        "destination": "PACS",
        "state": "PENDING",
        "n_results": 4,
        "attempts": attempts,
        "waiting_since": ago(minutes=minutes),
    }
    assert keys(replace(WELL, unsent=[row])) == found


def test_a_disk_fills_before_it_is_full() -> None:
    disk = Disk("/data", 100, 86.0, 90.0)
    filling = replace(WELL, snapshot=replace(WELL.snapshot, disk=disk))
    assert keys(filling) == ["disk-filling"]
    full = replace(WELL.snapshot, disk=replace(disk, used_percent=91.0))
    assert keys(replace(WELL, snapshot=full)) == ["disk-full", "disk-filling"]


def test_the_last_worker_has_gone() -> None:
    worker = {"worker_id": "w", "heartbeat_at": ago(seconds=121)}
    gone = replace(WELL.snapshot, workers=[worker])
    assert keys(replace(WELL, snapshot=gone)) == ["no-worker"]
    paused = replace(gone, pauses=[{"service": "work"}])
    assert keys(replace(WELL, snapshot=paused)) == []


def test_a_reconcile_that_does_not_balance() -> None:
    row = {"balanced": 0, "n_found": 2, "n_repaired": 1, "finished_at": "then"}
    assert keys(replace(WELL, snapshot=replace(WELL.snapshot, reconciled=row))) == [
        "unbalanced"
    ]


def test_a_certificate_ends_soon() -> None:
    def one(days: float) -> Survey:
        certificate = Certificate(
            "receiver.tls.certificate", Path("c.pem"), ago(days=days)
        )
        return replace(WELL, certificates=[certificate])

    assert keys(one(-22)) == []
    assert keys(one(-20)) == ["certificate:receiver.tls.certificate"]
    assert "has expired" in alarms(one(1), LIMITS)[0].what


def test_a_sender_has_fallen_silent() -> None:
    def one(minutes: float, hours: str = "") -> Survey:
        sender = Sender("CT1", ago(minutes=minutes), 240, parsed(hours))
        return replace(WELL, senders=[sender])

    assert keys(one(241)) == ["silent:CT1"]
    assert keys(one(239)) == []
    # Saturday is no working day.
    assert keys(one(241, "mon-fri 00:00-23:59")) == []
    never = Sender("CT1", None, 240, None)
    assert keys(replace(WELL, senders=[never])) == []


def test_silence_is_counted_in_working_hours() -> None:
    cet = timezone(timedelta(hours=1))
    hours = parsed("mon-fri 07:00-19:00")
    friday = datetime(2026, 1, 30, 18, tzinfo=cet)
    monday = datetime(2026, 2, 2, 9, tzinfo=cet)
    assert silent_seconds(friday, monday, hours, cet) == 3 * 3600
    assert silent_seconds(friday.astimezone(UTC), monday, hours, cet) == 3 * 3600
    assert silent_seconds(friday, monday, None) == 63 * 3600
    assert silent_seconds(monday, friday, hours, cet) == 0


@pytest.mark.parametrize(
    "text",
    ["always", "mon-fri", "fri-mon 07:00-19:00", "19:00-07:00", "mon 25:00-26:00"],
)
def test_a_span_that_is_none_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="mon-fri 07:00-19:00"):
        parsed(text)


def alarm(key: str = "jobs-failed", number: int = 1) -> Alarm:
    return Alarm(key, f"{number} of {key}", "do something", number)


def test_the_first_alarm_is_told_at_once_and_once() -> None:
    digest = due([alarm()], Told(), NOON, PERIODS)
    assert digest is not None
    told = Told(digest.numbers, NOON)
    later = NOON + timedelta(hours=1)
    assert due([alarm()], told, later, PERIODS) is None
    assert due([], Told(), NOON, PERIODS) is None


def test_a_storm_is_one_digest_a_period() -> None:
    told = Told({"jobs-failed": 1}, NOON)
    for minutes in range(1, 15):
        soon = NOON + timedelta(minutes=minutes)
        assert due([alarm(number=minutes + 1)], told, soon, PERIODS) is None
    more = [alarm(number=40), alarm("no-worker")]
    digest = due(more, told, NOON + timedelta(minutes=15), PERIODS)
    assert digest == Digest(raised=tuple(more))


def test_what_is_over_is_told_and_what_stands_is_reminded_of() -> None:
    told = Told({"jobs-failed": 2, "no-worker": 1}, NOON)
    later = NOON + timedelta(hours=1)
    digest = due([alarm(number=1)], told, later, PERIODS)
    assert digest == Digest(standing=(alarm(number=1),), cleared=("no-worker",))
    again = due([alarm()], Told({"jobs-failed": 1}, NOON), ago(days=-1), PERIODS)
    assert again == Digest(standing=(alarm(),))
    never = replace(PERIODS, remind_seconds=0)
    assert due([alarm()], Told({"jobs-failed": 1}, NOON), ago(days=-9), never) is None


class Node:
    """A node whose alarms, time and channel are set by the test; it keeps its notes."""

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.time = NOON
        self.sent: list[Digest] = []
        self.broken = False
        self.rows: list[dict[str, Any]] = []

    name = "mail"

    def now(self) -> datetime:
        return self.time

    def send(self, digest: Digest, _now: datetime) -> None:
        if self.broken:
            raise AlertError("the server is away; start it")
        self.sent.append(digest)

    def note(self, kind: str, detail: str, now: datetime) -> None:
        self.rows.append({"kind": kind, "detail": detail, "at": now})

    def node_events(self, kind: str, limit: int = 1) -> list[dict[str, Any]]:
        return [row for row in reversed(self.rows) if row["kind"] == kind][:limit]

    def alerts(self) -> Alerts:
        return Alerts(lambda: self.alarms, [self], self, self, self, PERIODS)


def test_what_lasts_no_longer_than_a_look_is_not_told() -> None:
    node = Node()
    alerts = node.alerts()
    for node.alarms in ([alarm()], [], [alarm()], []):
        alerts.run_once()
    assert node.sent == []
    node.alarms = [alarm()]
    assert [alerts.run_once(), alerts.run_once(), alerts.run_once()] == [0, 1, 0]
    # A look without it is not its end yet.
    node.time += timedelta(hours=1)
    for node.alarms in ([], [alarm()], []):
        alerts.run_once()
    assert len(node.sent) == 1
    alerts.run_once()
    assert node.sent[1] == Digest(cleared=("jobs-failed",))


def test_whoever_leads_next_knows_what_was_told() -> None:
    node = Node()
    node.alarms = [alarm()]
    first, second = node.alerts(), node.alerts()
    first.run_once()
    first.run_once()
    second.run_once()
    second.run_once()
    assert len(node.sent) == 1


def test_a_channel_that_fails_is_noted_and_tried_again() -> None:
    node = Node()
    node.alarms, node.broken = [alarm()], True
    alerts = node.alerts()
    for _ in range(5):
        alerts.run_once()
    (row,) = node.rows
    assert row["detail"] == "mail the server is away; start it"
    node.time += SAY_AGAIN
    alerts.run_once()
    assert len(node.rows) == 2
    node.broken = False
    # That it has failed is no news by its own mouth.
    node.alarms = [alarm(), alarm("alert-channel:mail")]
    assert alerts.run_once() == 1
    assert [one.key for one in node.sent[0].raised] == ["jobs-failed"]
