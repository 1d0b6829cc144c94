"""The PROXY header: what a balancer may write is read, and nothing else is."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomnode.receiver import proxy_protocol

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
# The example of the specification: TCP over IPv4, 127.0.0.1:56324 to 127.0.0.1:443.
EXAMPLE = SIGNATURE + bytes.fromhex("21 11 000c 7f000001 7f000001 dc04 01bb")


def header(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(rest)) + rest


def test_the_example_of_the_specification() -> None:
    assert proxy_protocol.n_bytes(EXAMPLE[:16]) == len(EXAMPLE) == 28
    assert proxy_protocol.source(EXAMPLE) == ("127.0.0.1", 56324)


@given(st.ip_addresses(), st.integers(0, 65535), st.binary(max_size=200))
def test_every_address_comes_back(address, port: int, more: bytes) -> None:
    """Whatever follows it: there may be further fields."""
    family, other = (0x11, bytes(4)) if address.version == 4 else (0x21, bytes(16))
    rest = address.packed + other + struct.pack(">HH", port, 11112) + more
    whole = header(0x21, family, rest)
    assert proxy_protocol.n_bytes(whole[:16]) == len(whole)
    found = proxy_protocol.source(whole)
    assert found
    assert (ip_address(found[0]), found[1]) == (address, port)
    assert len(found) == (2 if address.version == 4 else 4)


@given(st.binary(max_size=100), st.sampled_from([0x00, 0x11, 0x12, 0x21, 0x31]))
def test_the_balancer_itself_or_an_unknown_family_names_nobody(
    rest: bytes, family: int
) -> None:
    assert proxy_protocol.source(header(0x20, family, rest)) is None
    if family not in (0x11, 0x21):
        assert proxy_protocol.source(header(0x21, family, rest)) is None


@given(st.binary(min_size=16, max_size=16))
def test_anything_else_is_no_header(fixed: bytes) -> None:
    with pytest.raises(ValueError, match="PROXY"):
        proxy_protocol.n_bytes(fixed)


@pytest.mark.parametrize(
    "fixed",
    [
        header(0x11, 0x11, b"")[:16],  # version 1 in the clothes of 2
        header(0x22, 0x11, b"")[:16],  # no such command
        SIGNATURE + bytes.fromhex("21 11 0801"),  # longer than we take
        b"PROXY TCP4 127.0",
    ],
)
def test_wrong_versions_commands_and_lengths_are_refused(fixed: bytes) -> None:
    with pytest.raises(ValueError, match="PROXY"):
        proxy_protocol.n_bytes(fixed)


@given(st.sampled_from([0x11, 0x21]), st.integers(0, 11))
def test_a_header_without_its_addresses_is_refused(family: int, length: int) -> None:
    with pytest.raises(ValueError, match="addresses"):
        proxy_protocol.source(header(0x21, family, bytes(length)))
