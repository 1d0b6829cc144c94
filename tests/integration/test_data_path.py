"""The C-STORE data path and the library's path: the same bytes, statuses and events.

Each case is sent to two receivers. One has a store that takes pieces, so what is plain
goes straight into it; the other's takes only wholes, so everything is the library's.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from dicomnode.domain.instance import InstanceKey, StoredInstance
from dicomnode.ports import Buffer, InstanceStore, Usage
from dicomnode.store import LocalStore
from tests.integration.receiving import Node, receiving
from tests.integration.wire import (
    ABORT,
    CONTEXTS,
    CT,
    EXPLICIT,
    RELEASE,
    RELEASED,
    Contexts,
    associated_wire,
    command,
    cut,
    echo_rq,
    element,
    pdu,
    pdv,
    slowly,
    store,
    store_rq,
    uid,
    us,
)
from tests.unit.receiver.test_header import dataset, encoded

DATA = encoded(dataset(), EXPLICIT)
OTHER_UID = "1.2.3.4.5.7"
_TICK = threading.Event()


class Wholes:
    """A store on the disk that takes only whole data sets."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        return self._store.put(key, chunks)

    def open(self, location: str) -> BinaryIO:
        return self._store.open(location)

    def delete(self, location: str) -> None:
        self._store.delete(location)

    def usage(self) -> Usage:
        return self._store.usage()

    def locations(self) -> Iterable[str]:
        return self._store.locations()

    def sweep(self, older_than: datetime) -> int:
        return self._store.sweep(older_than)


class Watched(LocalStore):
    """Counts what came as a whole."""

    n_wholes = 0

    def put(self, key: InstanceKey, chunks: Iterable[Buffer]) -> StoredInstance:
        self.n_wholes += 1
        return super().put(key, chunks)


@dataclass(frozen=True)
class Case:
    """What is sent on an association, and how many PDUs answer it before its end."""

    parts: tuple[bytes, ...]
    n_answers: int = 1
    ends: bytes = RELEASE
    contexts: Contexts = CONTEXTS
    n_wholes: int = 0
    """How many instances the library has to serve on the fast receiver too."""


@dataclass(frozen=True)
class Outcome:
    """All that can be seen of a receiver."""

    answers: tuple[bytes, ...]
    files: tuple[tuple[str, bytes], ...]
    instances: tuple[tuple[InstanceKey, StoredInstance, object, object], ...]
    refusals: tuple[tuple[int, str, str], ...]


def other(**changes: object) -> bytes:
    ds = dataset()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return encoded(ds, EXPLICIT)


def nested(length: str) -> bytes:
    """With a private sequence before the Study Instance UID."""
    ds, inner = dataset(), Dataset()
    inner.PatientID = "inner"
    ds.ReferencedStudySequence = Sequence([inner])
    ds["ReferencedStudySequence"].is_undefined_length = length == "undefined"
    return encoded(ds, EXPLICIT)


def with_elements(*more: bytes, without: int = -1) -> bytes:
    elements = {
        0x0002: element(0x0002, uid(CT)),
        0x0100: element(0x0100, us(1)),
        0x0110: element(0x0110, us(1)),
        0x0700: element(0x0700, us(2)),
        0x0800: element(0x0800, us(1)),
        0x1000: element(0x1000, uid("1.2.3.4.5.6")),
    }
    return command(*(one for key, one in elements.items() if key != without), *more)


SECOND = store(other(SOPInstanceUID=OTHER_UID), store_rq(OTHER_UID, message_id=2))
LARGE = other(PixelData=bytes(range(256)) * 4000)
HALF, REST = DATA[:200], DATA[200:]


def syntax_case(syntax: str) -> Case:
    contexts = ((1, CT, syntax),)
    return Case((store(encoded(dataset(), syntax)),), contexts=contexts)


PLAIN = {
    "a PDU for each fragment": Case((store(DATA, fragment_bytes=64),)),
    "all in one PDU": Case((pdu(pdv(1, 3, store_rq()), pdv(1, 2, DATA)),)),
    "tiny fragments, many in a PDU": Case(
        (
            pdu(pdv(1, 3, store_rq())),
            pdu(*(pdv(1, 0, one) for one in cut(DATA, 2))),
            pdu(pdv(1, 2, b"")),
        )
    ),
    "empty fragments": Case(
        (
            pdu(pdv(1, 3, store_rq()), pdv(1, 0, b""), pdv(1, 0, HALF)),
            pdu(pdv(1, 0, b"")),
            pdu(pdv(1, 2, REST)),
        )
    ),
    "a megabyte": Case((store(LARGE, fragment_bytes=200_000),)),
    "two instances": Case((store(DATA), SECOND), n_answers=2),
    "the same again": Case((store(DATA), store(DATA)), n_answers=2),
    "other content": Case((store(DATA), store(other(StudyDate="20200101"))), 2),
    "an echo between": Case((store(DATA), pdu(pdv(5, 3, echo_rq())), SECOND), 3),
    "bytes one by one": Case((*slowly([store(DATA)[:400]], 1), store(DATA)[400:])),
    "implicit VR": syntax_case(ImplicitVRLittleEndian),
    "big endian": syntax_case(ExplicitVRBigEndian),
    "deflated": syntax_case(DeflatedExplicitVRLittleEndian),
    "a sequence of defined length": Case((store(nested("defined")),)),
    "a sequence of undefined length": Case((store(nested("undefined")),)),
    "a move originator": Case(
        (
            store(
                DATA, with_elements(element(0x1030, b"MOVER "), element(0x1031, us(7)))
            ),
        )
    ),
    "a UID padded with spaces": Case(
        (
            store(
                DATA,
                with_elements(element(0x1000, b"1.2.3.4.5.6 "), without=0x1000),
            ),
        )
    ),
    "another instance in the data set": Case((store(DATA, store_rq("1.2.9")),)),
    "another class in the data set": Case((store(DATA, store_rq(sop_class="1.2.9")),)),
    "no study": Case((store(other(StudyInstanceUID="")),)),
    "a study that is a path": Case((store(other(StudyInstanceUID="../../x")),)),
    "no data set to speak of": Case((store(b"\xff" * 100),)),
    "the data set of another context's class": Case(
        (store(DATA, context_id=3),),
    ),
}

ODD = {
    "a command in two fragments": Case(
        (
            pdu(pdv(1, 1, store_rq()[:50])),
            pdu(pdv(1, 3, store_rq()[50:])),
            pdu(pdv(1, 2, DATA)),
        ),
        n_wholes=1,
    ),
    "data on another context": Case(
        (pdu(pdv(1, 3, store_rq())), pdu(pdv(1, 0, HALF)), pdu(pdv(3, 2, REST))),
        n_wholes=1,
    ),
    "another context within a PDU": Case(
        (pdu(pdv(1, 3, store_rq()), pdv(1, 0, HALF), pdv(3, 2, REST)),), n_wholes=1
    ),
    "the command again within the data": Case(
        (
            pdu(pdv(1, 3, store_rq()), pdv(1, 0, HALF)),
            pdu(pdv(1, 3, store_rq())),
            pdu(pdv(1, 2, REST)),
        ),
        n_wholes=1,
    ),
    "another command within the data": Case(
        (
            pdu(pdv(1, 3, store_rq()), pdv(1, 0, HALF)),
            pdu(pdv(5, 3, echo_rq())),
            pdu(pdv(1, 2, REST)),
        ),
        n_answers=1000,
        ends=b"",
    ),
    "a PDU without fragments": Case(
        (pdu(pdv(1, 3, store_rq()), pdv(1, 0, HALF)), pdu(), pdu(pdv(1, 2, REST))),
        n_wholes=1,
    ),
    "the next message in the PDU of the last fragment": Case(
        (
            pdu(
                pdv(1, 3, store_rq()),
                pdv(1, 2, DATA),
                pdv(1, 3, store_rq(OTHER_UID)),
                pdv(1, 2, other(SOPInstanceUID=OTHER_UID)),
            ),
        ),
        n_answers=2,
    ),
    "a fragment longer than its PDU": Case(
        (pdu(pdv(1, 3, store_rq())), b"\x04\x00\0\0\0\x0a" + b"\0\0\0\xff\x01\0abcd"),
        n_answers=1000,
        ends=b"",
    ),
    "a fragment without control header": Case(
        (pdu(pdv(1, 3, store_rq())), pdu(b"\0\0\0\x01\x01"), pdu(pdv(1, 2, DATA))),
        n_answers=1000,
        ends=ABORT,
    ),
    "data before the command": Case((pdu(pdv(1, 2, DATA)),), 1000, ends=b""),
    "data and then the command": Case(
        (pdu(pdv(1, 0, HALF)), pdu(pdv(1, 3, store_rq())), pdu(pdv(1, 2, REST))),
        n_wholes=1,
    ),
    "an even context": Case((store(DATA, context_id=2),), 1000, ends=b""),
    "a context that was not proposed": Case((store(DATA, context_id=9),), 1000, b""),
    "a UID with an empty component": Case((store(DATA, store_rq("1..2")),)),
    "no data set announced": Case(
        (pdu(pdv(1, 3, with_elements(element(0x0800, us(0x0101)), without=0x0800))),),
    ),
    "no priority": Case((store(DATA, with_elements(without=0x0700)),), n_wholes=1),
    "no instance": Case((store(DATA, with_elements(without=0x1000)),), 1000, ABORT),
    "an element more": Case(
        (store(DATA, with_elements(element(0x0003, uid("1.2.3")))),), n_wholes=1
    ),
    "a command that breaks off": Case((store(DATA, store_rq()[:-5]),)),
    "a UID that is a path": Case((store(DATA, store_rq("../../../x")),)),
    "released within the data": Case(
        (pdu(pdv(1, 3, store_rq()), pdv(1, 0, HALF)),), n_answers=0
    ),
    "aborted within the data": Case(
        (pdu(pdv(1, 3, store_rq()), pdv(1, 0, HALF)),), n_answers=0, ends=ABORT
    ),
    "cut within the data": Case(
        (pdu(pdv(1, 3, store_rq())), pdu(pdv(1, 2, DATA))[:99]), n_answers=0, ends=b""
    ),
    "cut within the command": Case((pdu(pdv(1, 3, store_rq()))[:40],), 0, ends=b""),
    "an unknown PDU within the data": Case(
        (
            pdu(pdv(1, 3, store_rq()), pdv(1, 0, HALF)),
            bytes.fromhex("0900000000020000"),
        ),
        n_answers=1000,
        ends=b"",
    ),
    "an A-ASSOCIATE-RQ within the data": Case(
        (
            pdu(pdv(1, 3, store_rq()), pdv(1, 0, HALF)),
            bytes.fromhex("0100000000020000"),
        ),
        n_answers=1000,
        ends=b"",
    ),
    "a PDU that is too long within the data": Case(
        (pdu(pdv(1, 3, store_rq()), pdv(1, 0, HALF)), b"\x04\0\xff\xff\xff\xff"),
        n_answers=1000,
        ends=b"",
    ),
}


def outcome(node: Node, case: Case) -> Outcome:
    with associated_wire(node.port, case.contexts) as wire:
        wire.send(*case.parts)
        answers = list(wire.pdus(case.n_answers)) if case.ends else []
        if case.ends:
            wire.send(case.ends)
        wire.shut()
        answers += wire.pdus()
    _until_ended()
    found = _seen(node, answers)
    for path in node.files():
        path.unlink()
    for kept in (node.intake.instances, node.intake.refusals, node.intake._contents):
        kept.clear()
    return found


def _until_ended() -> None:
    while any(one.name.startswith("AcceptorThread") for one in threading.enumerate()):
        _TICK.wait(0.002)


def _seen(node: Node, answers: list[bytes]) -> Outcome:
    return Outcome(
        tuple(answers),
        tuple(
            sorted(
                (str(path.relative_to(node.root)), path.read_bytes())
                for path in node.files()
            )
        ),
        tuple(
            (one.key, one.stored, one.attributes, one.identity)
            for one in node.intake.instances
        ),
        tuple(
            (one.status, one.reason, one.sop_instance_uid)
            for one in node.intake.refusals
        ),
    )


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Node]]:
    """One whose store takes pieces, and one whose does not."""
    folder = tmp_path_factory.mktemp("stores")
    pieces = Watched(folder / "fast", watermark_percent=100)
    wholes: InstanceStore = Wholes(LocalStore(folder / "slow", watermark_percent=100))
    with (
        receiving(folder / "fast", store=pieces) as fast,
        receiving(folder / "slow", store=wholes) as slow,
    ):
        yield fast, slow


def n_wholes(node: Node) -> int:
    """How many the library has served since this was asked last."""
    store = node.store
    assert isinstance(store, Watched)
    n, store.n_wholes = store.n_wholes, 0
    return n


@pytest.mark.parametrize("name", PLAIN)
def test_what_is_plain_goes_straight_to_the_store(
    nodes: tuple[Node, Node], name: str
) -> None:
    ours, librarys = (outcome(node, PLAIN[name]) for node in nodes)
    assert ours == librarys
    assert ours.answers[-1] == RELEASED
    assert len(ours.answers) == PLAIN[name].n_answers + 1
    assert n_wholes(nodes[0]) == 0


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_left_to_the_library(
    nodes: tuple[Node, Node], name: str
) -> None:
    ours, librarys = (outcome(node, ODD[name]) for node in nodes)
    assert ours == librarys
    assert n_wholes(nodes[0]) == ODD[name].n_wholes
    assert not [name for name, _ in ours.files if name.endswith(".part")]
