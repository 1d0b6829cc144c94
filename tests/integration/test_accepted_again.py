"""The same association request again: answered without the library, byte for byte."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import JPEG2000Lossless

from tests.integration.receiving import MODALITY, Node, receiving, settings
from tests.integration.wire import (
    CONTEXTS,
    CT,
    EXPLICIT,
    RELEASE,
    RELEASED,
    Contexts,
    associate_rq,
    connected,
    pdu,
    pdv,
    store,
    store_rq,
)
from tests.unit.receiver.test_header import dataset, encoded

DATA = encoded(dataset(), EXPLICIT)
PRIVATE = "1.3.46.670589.5.0.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
OFFERS: dict[str, Contexts] = {
    "as usual": CONTEXTS,
    "a private class": ((1, PRIVATE, EXPLICIT), (3, CT, EXPLICIT)),
    "one of them is refused": ((1, CT, EXPLICIT), (3, FIND, EXPLICIT)),
    "all of them are refused": ((1, FIND, EXPLICIT),),
    "compressed": ((1, CT, str(JPEG2000Lossless)), (3, CT, EXPLICIT)),
    "many": tuple((2 * one + 1, CT, EXPLICIT) for one in range(128)),
}
REFUSED_CONTEXT = 3
USER_BYTES = 4 + 8 + 11
"""Of the User Information of ``associate_rq``: its head, length, and class UID."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with receiving(tmp_path / "instances") as running:
        yield running


def answers(node: Node, request: bytes, *more: bytes) -> list[bytes]:
    """Of one association from its request to its end."""
    with connected(node.port) as wire:
        wire.send(request)
        first = list(wire.pdus(1))
        wire.send(*more, RELEASE)
        return first + list(wire.pdus())


def with_items(request: bytes, *items: bytes) -> bytes:
    """The request with more in its User Information (PS3.7 D.3.3)."""
    at = len(request) - USER_BYTES
    head, user = request[6:at], request[at + 4 :] + b"".join(items)
    user = of_kind(0x50, user)
    return struct.pack(">BxI", 1, len(head + user)) + head + user


def of_kind(kind: int, content: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(content)) + content


ROLE = of_kind(0x54, struct.pack(">H", len(CT)) + CT.encode() + b"\1\1")
ASYNCHRONOUS = of_kind(0x53, struct.pack(">HH", 4, 4))
USER = of_kind(0x58, b"\1\1" + struct.pack(">H", 4) + b"user" + b"\0\0")


@pytest.mark.parametrize("offer", OFFERS)
def test_the_answer_is_that_of_the_first_time(node: Node, offer: str) -> None:
    request = associate_rq(OFFERS[offer])
    stored = store(DATA)
    first = answers(node, request, stored)
    for _ in range(3):
        assert answers(node, request, stored) == first
    assert first[0][0] == 2
    assert len(node.intake.associations) == 4
    assert len({(one.reason, one.remedy) for one in node.intake.associations}) == 1


@pytest.mark.parametrize("item", [ROLE, ASYNCHRONOUS, USER])
def test_what_else_is_negotiated_is_left_to_the_library(
    node: Node, item: bytes
) -> None:
    plain, more = associate_rq(), with_items(associate_rq(), item)
    first = answers(node, more, store(DATA))
    again = answers(node, plain, store(DATA)), answers(node, more, store(DATA))
    assert again[1] == first
    assert [one[0] for one in first] == [one[0] for one in again[0]]
    assert first[-1] == RELEASED


def test_each_peer_is_answered_for_itself(tmp_path: Path) -> None:
    """Who may only C-ECHO gets no storage, though another who asked alike had it."""
    echo_only = replace(MODALITY, ae_title="ECHOER", services=frozenset({"echo"}))
    how = replace(settings(), peers=(MODALITY, echo_only))
    with receiving(tmp_path / "instances", how) as node:
        granted = answers(node, associate_rq())
        refused = answers(node, associate_rq(calling="ECHOER"))
        assert granted[0] != refused[0]
        assert answers(node, associate_rq()) == granted
        assert answers(node, associate_rq(calling="ECHOER")) == refused
        node.scp.admit(
            replace(how, peers=(replace(echo_only, ae_title="MODALITY"),)), ()
        )
        changed = answers(node, associate_rq())
        assert changed[0] != granted[0]
        node.scp.admit(how, ())
        assert answers(node, associate_rq()) == granted


def test_a_context_that_was_refused_is_refused_again(node: Node) -> None:
    request = associate_rq(OFFERS["one of them is refused"])
    odd = pdu(pdv(REFUSED_CONTEXT, 3, store_rq()), pdv(REFUSED_CONTEXT, 2, DATA))
    first, again = (answers(node, request, odd) for _ in range(2))
    assert first == again
    assert not node.intake.instances
