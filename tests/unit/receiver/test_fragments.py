"""The fragments of a data set: any PDVs in any pieces, and any damage to them."""

from __future__ import annotations

import struct
from typing import cast

from hypothesis import given, settings
from hypothesis import strategies as st

from dicomnode.receiver.fragments import Flow, Fragments, command_pdu
from dicomnode.receiver.sockets import GuardedSocket
from tests.integration.wire import cut, pdu, pdv, store_rq


class Stream:
    """What Fragments need of a socket; the bytes come in pieces of ``size``."""

    limit_bytes, deadline_seconds = 1 << 16, 60.0

    def __init__(self, sent: bytes, size: int) -> None:
        self._pieces = list(cut(sent, size))
        self._buffer = b""

    @property
    def n_buffered(self) -> int:
        return len(self._buffer)

    def peek(self, n_bytes: int) -> memoryview:
        return memoryview(self._buffer)[:n_bytes]

    def take(self, n_bytes: int) -> memoryview:
        assert 0 <= n_bytes <= len(self._buffer)
        taken, self._buffer = self._buffer[:n_bytes], self._buffer[n_bytes:]
        return memoryview(taken)

    def fill(self, _ends_at: float) -> bool:
        if not self._pieces:
            return False
        self._buffer += self._pieces.pop(0)
        return True


def gathered(sent: bytes, size: int) -> tuple[bytes, Flow]:
    stream = Stream(sent, size)
    fragments = Fragments(cast("GuardedSocket", stream), 1, 0)
    found = b""
    while fragments.flow is Flow.MORE:
        slices = fragments.taken()
        found += b"".join(slices)
        if not slices and fragments.flow is Flow.MORE:
            fragments.await_more()
    return found, fragments.flow


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=3), max_size=4),
    st.binary(max_size=40),
    st.integers(1, 100),
)
def test_any_cutting_gives_the_data_set(
    pdus: list[list[bytes]], last: bytes, size: int
) -> None:
    sent = b"".join(pdu(*(pdv(1, 0, one) for one in pdvs)) for pdvs in pdus)
    whole = b"".join(one for pdvs in pdus for one in pdvs) + last
    assert gathered(sent + pdu(pdv(1, 2, last)), size) == (whole, Flow.COMPLETE)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 100))
def test_no_damage_makes_it_loop_or_take_what_is_not_there(
    data: st.DataObject, size: int
) -> None:
    sent = bytearray(pdu(pdv(1, 0, b"abcd"), pdv(1, 0, b"ef")) + pdu(pdv(1, 2, b"gh")))
    at = data.draw(st.integers(0, len(sent)))
    sent[at : at + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=8))
    found, flow = gathered(bytes(sent), size)
    assert len(found) <= len(sent)
    assert flow is not Flow.MORE


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=80) | st.binary(max_size=40).map(lambda raw: pdu(raw) + raw),
    st.integers(1, 50),
)
def test_no_bytes_make_the_search_for_a_command_fail(raw: bytes, size: int) -> None:
    found = command_pdu(cast("GuardedSocket", Stream(raw, size)))
    assert found is None or found.command_set in raw


@given(st.integers(1, 300))
def test_a_command_is_found_however_it_is_cut(size: int) -> None:
    sent = pdu(pdv(1, 3, store_rq()), pdv(1, 0, b"more"))
    found = command_pdu(cast("GuardedSocket", Stream(sent, size)))
    assert found is not None
    assert found.command_set == store_rq()
    assert found.left_in_pdu == struct.calcsize(">IBB") + len(b"more")
