"""An association that stays open for the next results: used again, ended in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association

from dicomnode.delivery import outgoing
from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.errors import Unreachable
from dicomnode.processes.clock import SystemClock
from tests.integration.fake_pacs import FakePacs

HANG_SECONDS = 60


@dataclass
class Pacs:
    """What a PACS saw: who is there now, how each association ended, what came."""

    port: int = 0
    open: list[Association] = field(default_factory=list)
    n_opened: int = 0
    ended: list[str] = field(default_factory=list)
    n_stored: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self, what: str, association: Association) -> None:
        with self.changed:
            if what == "accepted":
                self.open.append(association)
                self.n_opened += 1
            else:
                self.ended.append(what)
            self.changed.notify_all()

    def wait_for_ends(self, number: int) -> None:
        with self.changed:
            assert self.changed.wait_for(
                lambda: len(self.ended) >= number, HANG_SECONDS
            )

    def store(self, event: evt.Event) -> int:
        self.n_stored += 1
        return 0x0000


@contextmanager
def a_pacs() -> Iterator[Pacs]:
    pacs = Pacs()
    ae = AE()
    ae.supported_contexts = AllStoragePresentationContexts[:100]
    server = ae.start_server(
        ("127.0.0.1", 0),
        block=False,
        evt_handlers=[
            (evt.EVT_C_STORE, pacs.store),
            (evt.EVT_ACCEPTED, lambda e: pacs.note("accepted", e.assoc)),
            (evt.EVT_RELEASED, lambda e: pacs.note("released", e.assoc)),
            (evt.EVT_ABORTED, lambda e: pacs.note("aborted", e.assoc)),
        ],
    )
    pacs.port = server.server_address[1]
    try:
        yield pacs
    finally:
        server.shutdown()


@contextmanager
def a_sender(pacs: Pacs, idle_seconds: float) -> Iterator[StorageScu]:
    peer = Peer("ANY-SCP", "127.0.0.1", pacs.port, "DICOMNODE", HANG_SECONDS)
    sender = StorageScu(peer, SystemClock(), idle_seconds)
    try:
        yield sender
    finally:
        sender.close()


def a_file(name: str = "CT_small.dcm"):
    return outgoing.read(Path(get_testdata_file(name)))


def test_results_that_follow_soon_share_an_association_that_is_released() -> None:
    with a_pacs() as pacs, a_sender(pacs, idle_seconds=HANG_SECONDS) as sender:
        answers = [sender.send([a_file(), a_file()]) for _ in range(3)]
        assert all(one.accepted for answer in answers for one in answer)
        assert pacs.n_opened == 1
        assert pacs.ended == []
        sender.close()
        pacs.wait_for_ends(1)
        assert pacs.ended == ["released"]


def test_it_is_released_by_itself_when_nothing_follows() -> None:
    with a_pacs() as pacs, a_sender(pacs, idle_seconds=0.2) as sender:
        assert sender.send([a_file()])[0].accepted
        pacs.wait_for_ends(1)
        assert pacs.ended == ["released"]
        assert sender.send([a_file()])[0].accepted
        assert pacs.n_opened == 2


def test_without_idle_seconds_each_call_has_its_own() -> None:
    with a_pacs() as pacs, a_sender(pacs, idle_seconds=0) as sender:
        for number in (1, 2):
            assert sender.send([a_file()])[0].accepted
            pacs.wait_for_ends(number)
        assert pacs.n_opened == 2


def test_another_sop_class_opens_one_for_both() -> None:
    with a_pacs() as pacs, a_sender(pacs, idle_seconds=HANG_SECONDS) as sender:
        for name in ("CT_small.dcm", "MR_small.dcm", "CT_small.dcm"):
            assert sender.send([a_file(name)])[0].accepted
        assert pacs.n_opened == 2


@pytest.mark.parametrize("how", ["abort", "release", "close"])
def test_a_peer_that_ends_it_meanwhile_costs_no_attempt(how: str) -> None:
    with a_pacs() as pacs, a_sender(pacs, idle_seconds=HANG_SECONDS) as sender:
        assert sender.send([a_file()])[0].accepted
        [theirs], pause = pacs.open, threading.Event()
        if how == "abort":
            theirs.abort()
        elif how == "release":
            releasing = threading.Thread(target=theirs.release, daemon=True)
            releasing.start()
            ours = sender._standing._association
            assert ours is not None
            while not ours.acse.is_release_requested():
                pause.wait(0.01)
        else:
            theirs.dul.socket.close()
        answers = sender.send([a_file(), a_file()])
        assert [(one.tried, one.status) for one in answers] == [(True, 0)] * 2
        assert pacs.n_opened == 2


def test_it_is_opened_ahead_for_what_was_sent_before() -> None:
    with a_pacs() as pacs, a_sender(pacs, idle_seconds=HANG_SECONDS) as sender:
        sender.prepare()
        assert pacs.n_opened == 0
        assert sender.send([a_file()])[0].accepted
        sender.prepare()
        assert pacs.n_opened == 1
        sender.close()
        pacs.wait_for_ends(1)
        sender.prepare()
        assert pacs.n_opened == 2
        assert sender.send([a_file()])[0].accepted
        assert pacs.n_opened == 2
        assert pacs.n_stored == 2


def test_one_that_was_opened_ahead_in_vain_is_released() -> None:
    with a_pacs() as pacs, a_sender(pacs, idle_seconds=0.2) as sender:
        assert sender.send([a_file()])[0].accepted
        pacs.wait_for_ends(1)
        sender.prepare()
        pacs.wait_for_ends(2)
        assert pacs.ended == ["released", "released"]


def test_none_is_opened_ahead_where_each_call_has_its_own() -> None:
    with a_pacs() as pacs, a_sender(pacs, idle_seconds=0) as sender:
        assert sender.send([a_file()])[0].accepted
        sender.prepare()
        assert pacs.n_opened == 1


def test_a_peer_that_was_not_there_is_not_asked_ahead() -> None:
    pacs = FakePacs(accepts=("1.2.840.10008.5.1.4.1.1.2",))
    asked: list[tuple[int, int, int] | None] = []
    with pacs.running():
        sender = StorageScu(pacs.peer(), SystemClock(), HANG_SECONDS)
        pacs.on_request = lambda: asked.append(pacs.rejection)
        assert sender.send([a_file()])[0].accepted
        sender.close()
        pacs.rejection = (2, 3, 1)
        sender.prepare()
        sender.prepare()
        with pytest.raises(Unreachable):
            sender.send([a_file()])
        pacs.rejection = None
        sender.prepare()
        assert asked == [None, (2, 3, 1), (2, 3, 1)]
        assert sender.send([a_file()])[0].accepted
        sender.close()
