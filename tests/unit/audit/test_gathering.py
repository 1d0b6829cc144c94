"""Many instances make one message of a transfer; many refusals one a minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dicomnode.audit import Node, Peer
from dicomnode.audit.gathering import OPEN, Arrival, Refusals, Transfers

T0 = datetime(2026, 1, 31, 12, tzinfo=UTC)
NODE = Node("DICOMNODE", "node1", "receive", 4711)
CT = Peer("CT1", "10.1.2.3")


def arrival(seconds: float, study: str = "1.2", action: str = "C") -> Arrival:
    at = T0 + timedelta(seconds=seconds)
    return Arrival(at, study, "1.9", action, "PID", "ACC")


def test_a_transfer_is_begun_once_and_ends_when_it_is_quiet() -> None:
    transfers = Transfers(NODE)
    begun = [transfers.note(CT, arrival(second)) for second in (0, 3, 6)]
    assert [one.event.value if one else None for one in begun] == [
        "110102",
        None,
        None,
    ]
    assert not transfers.due(T0 + timedelta(seconds=10))
    (ended,) = transfers.due(T0 + timedelta(seconds=11))
    assert ended.event.value == "110104"
    assert ended.at == T0 + timedelta(seconds=6)
    assert ended.objects[0].sop_classes == (("1.9", 3),)
    assert not transfers.rest(T0)


def test_new_and_known_instances_are_not_mixed() -> None:
    transfers = Transfers(NODE)
    for action in "CRC":
        transfers.note(CT, arrival(0, action=action))
    ended = transfers.rest(T0)
    assert sorted((m.action, m.objects[0].sop_classes[0][1]) for m in ended) == [
        ("C", 2),
        ("R", 1),
    ]


def test_a_clock_set_back_ends_transfers_all_the_same() -> None:
    transfers = Transfers(NODE)
    transfers.note(CT, arrival(0))
    assert len(transfers.due(T0 - timedelta(hours=1))) == 1


def test_what_is_open_is_bounded() -> None:
    transfers = Transfers(NODE)
    for number in range(OPEN + 1):
        transfers.note(CT, arrival(0, study=f"1.{number}"))
    assert len(transfers.due(T0)) == OPEN + 1


def test_refusals_of_an_address_are_one_message_a_minute() -> None:
    refusals = Refusals(NODE)
    said = [refusals.note(CT, "why", T0 + timedelta(seconds=n)) for n in range(30)]
    assert [one is not None for one in said] == [True] + [False] * 29
    assert refusals.note(Peer("X", "10.9.9.9"), "why", T0) is not None
    assert not refusals.due(T0 + timedelta(seconds=59))
    (more,) = refusals.due(T0 + timedelta(seconds=60))
    assert "29 times more" in more.objects[0].details[0][1]
    assert refusals.note(CT, "why", T0 + timedelta(seconds=61)) is not None
