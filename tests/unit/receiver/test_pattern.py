"""Associations that are made like a pattern, beside those that the library makes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.transport import AddressInformation

from dicomnode.receiver.pattern import Address
from dicomnode.receiver.upper_layer import AcceptedAssociation
from tests.integration.receiving import receiving

LOOPBACK = AddressInformation("127.0.0.1", 104)
# Of a thread that is never started, and so the same for all of them.
OF_THREADS = frozenset(vars(threading.Thread()))
# Set by the first and cleared by none: the reactor runs in the thread that waits.
SHARED = OF_THREADS | {"_ae", "_dul_ready"}
PLAIN = (str, int, float, type(None), tuple, threading.Thread)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[AcceptedAssociation]]:
    """Two of one server, and the library's last."""
    with receiving(tmp_path) as node:
        server = node.scp._server
        ends = [socket.socketpair() for _ in range(2)]
        ours = [
            AcceptedAssociation(server, server.services, end, LOOPBACK, LOOPBACK)
            for end, _ in ends
        ]
        yield [*ours, Association(server.ae, MODE_ACCEPTOR)]  # type: ignore[list-item]
        for pair in ends:
            for end in pair:
                end.close()


def parts(association: Any) -> Mapping[str, Mapping[str, Any]]:
    return {
        "association": vars(association),
        "acse": vars(association.acse),
        "dul": vars(association.dul),
        "dimse": vars(association.dimse),
        "requestor": vars(association.requestor),
        "acceptor": vars(association.acceptor),
    }


def test_all_that_the_library_sets_is_set(made: list[AcceptedAssociation]) -> None:
    ours, _, stock = map(parts, made)
    for name, attributes in stock.items():
        assert attributes.keys() <= ours[name].keys(), name


def test_what_has_plain_values_has_those_of_the_library(
    made: list[AcceptedAssociation],
) -> None:
    ours, _, stock = map(parts, made)
    # Ours says who and where it is, and has its port's name and its socket.
    own = {"_name", "_ae_title", "address_info", "socket", "_server"}
    for name, attributes in stock.items():
        for key, value in attributes.items():
            if isinstance(value, str | int | float | None) and key not in own:
                assert ours[name][key] == value, (name, key)


def test_no_two_share_what_can_change(made: list[AcceptedAssociation]) -> None:
    one, other, _ = map(parts, made)
    for name, attributes in one.items():
        for key, value in attributes.items():
            if key in SHARED or key not in other[name] or isinstance(value, PLAIN):
                continue
            if value is other[name][key]:
                assert not isinstance(value, dict | list | threading.Event), (name, key)
                assert type(value).__module__ != "pynetdicom.timer", (name, key)


def test_what_both_say_of_themselves_is_the_same(
    made: list[AcceptedAssociation],
) -> None:
    ours, _, stock = made
    for setting in ("maximum_length", "implementation_class_uid"):
        assert getattr(ours.requestor, setting) == getattr(stock.requestor, setting)
    assert ours.acceptor.ae_title == "DICOMNODE"
    assert ours.acceptor.maximum_length == ours.ae.maximum_pdu_size
    version = ours.ae.implementation_version_name
    assert ours.acceptor.implementation_version_name == version
    assert ours.dul.artim_timer.timeout == stock.dul.artim_timer.timeout
    assert set(ours._handlers) == set(stock._handlers) - {
        event for event in stock._handlers if event.is_notification
    }


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost"])
def test_addresses_are_those_of_the_library(name: str) -> None:
    stock, ours = AddressInformation(name, 104, 1, 2), Address(name, 104, 1, 2)
    assert vars(ours) == vars(stock)
    assert ours.as_tuple == stock.as_tuple
