"""Whoever emits never waits and never fails; the trail catches up afterwards."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicomnode.audit import Forwarder, Journal, Keeping, Node, Source, Trail, trail
from dicomnode.audit.journal import Position
from dicomnode.audit.message import AuditMessage
from tests.integration.audit_schema import checked, event_id
from tests.unit.audit.test_messages import MESSAGES

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
NODE = Node("DICOMNODE", "node1", "receive", 4711)


def opened(folder: Path, forwarder: Forwarder | None = None) -> Trail:
    keeping = Keeping(Journal(folder, 10_000), Source("DICOMNODE"), forwarder)
    made = Trail(NODE, keeping, lambda: AT)
    made.start()
    return made


def ids(folder: Path) -> list[str]:
    lines, _ = Journal(folder, 10_000).read(Position(), 100_000)
    return [event_id(checked(one.split(b" - ", 1)[1].decode())) for one in lines]


def emit(to: Trail, number: int) -> None:
    for _ in range(number):
        to.emit(MESSAGES["received"])


def test_what_is_emitted_is_written_in_order(tmp_path: Path) -> None:
    made = opened(tmp_path)
    names = ["start", "begin", "received", "stop"]
    for name in names:
        made.emit(MESSAGES[name])
    made.close()
    assert ids(tmp_path) == [MESSAGES[name].event.value for name in names]


def test_a_disk_that_fails_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "WAITING", 3)
    blocked = tmp_path / "audit"
    blocked.write_text("a file is no folder")
    # Without its thread: each attempt to write is made here.
    keeping = Keeping(Journal(blocked, 10_000), Source("DICOMNODE"))
    made = Trail(NODE, keeping, lambda: AT)
    emit(made, 1)
    made._write()
    emit(made, 4)
    made._write()
    blocked.unlink()
    made._write()
    made.close()
    # Three were kept, and the loss of two is in the trail itself.
    assert ids(blocked) == ["110104"] * 3 + ["110113"]


def test_the_messages_of_gatherers_come_when_due_and_at_the_end(
    tmp_path: Path,
) -> None:
    class Two:
        def due(self, now: datetime) -> Sequence[AuditMessage]:
            return [MESSAGES["begin"]] if not done.is_set() and not done.set() else []

        def rest(self, now: datetime) -> Sequence[AuditMessage]:
            return [MESSAGES["received"]]

    done = threading.Event()
    keeping = Keeping(Journal(tmp_path, 10_000), Source("DICOMNODE"))
    made = Trail(NODE, keeping, lambda: AT, (Two(),))
    made.start()
    assert done.wait(60)
    made.close()
    assert ids(tmp_path) == ["110102", "110104"]


def test_a_batch_that_fails_is_sent_again_and_the_next_follows(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 500)
    sent: list[bytes] = []
    fails = [True]

    def send(messages: Sequence[bytes]) -> None:
        if fails.pop():
            fails.append(False)
            raise ConnectionResetError(104, "Connection reset by peer")
        fails.append(False)
        sent.extend(messages)

    forwarder = Forwarder(journal, send)
    lines = [b"<85>1 %d <AuditMessage></AuditMessage>" % n for n in range(50)]
    for line in lines:
        journal.append([line])
    with pytest.raises(ConnectionResetError):
        forwarder.run_once()
    while forwarder.run_once():
        pass
    assert sent == lines
    assert Forwarder(journal, send).run_once() == 0, "the place is kept on disk"


def test_a_damaged_place_sends_all_again_rather_than_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 500)
    sent: list[bytes] = []
    journal.append([b"<85>1 0 <AuditMessage></AuditMessage>"])
    forwarder = Forwarder(journal, sent.extend)
    forwarder.run_once()
    (tmp_path / "sent.json").write_text("{")
    assert forwarder.run_once() == 1


def test_one_process_sends_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path, 500)
    journal.append([b"<85>1 0 <AuditMessage></AuditMessage>"])
    other = Forwarder(journal, lambda _: None)
    inside: list[int] = []
    forwarder = Forwarder(journal, lambda _: inside.append(other.run_once()))
    assert forwarder.run_once() == 1
    assert inside == [0]
