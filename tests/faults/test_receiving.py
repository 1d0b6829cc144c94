"""Rows 9, 10, 19, 20 and 21 of the fault catalogue: what a sender may do wrong.

``python -m tests.faults.test_receiving`` sends 2 GiB and 100,000 instances.
"""

from __future__ import annotations

import argparse
import logging
import os
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from pydicom import dcmread
from pydicom.dataset import Dataset

from dicomnode.receiver.requests import Limits
from tests.integration.receiving import Node, associated, receiving, settings
from tests.integration.wire import (
    APPLICATION_CONTEXT,
    CT,
    EXPLICIT,
    MR,
    VERIFICATION,
    Wire,
    associate_rq,
    associated_wire,
    command,
    connected,
    element,
    pdu,
    pdv,
    status,
    store,
    store_rq,
    uid,
    us,
)
from tests.unit.receiver.test_header import dataset, encoded

KIB, MIB = 1 << 10, 1 << 20
FRAGMENT = bytes(64 * KIB - 12)
# PS3.8 9.3.8: A-ABORT by the provider, invalid PDU parameter value.
PROVIDER_ABORT = bytes.fromhex("07000000000400000206")


def data_set(**changes: object) -> bytes:
    ds = dataset()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return encoded(ds, EXPLICIT)


@pytest.fixture(params=[False, True], ids=["refused", "quarantine"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Node]:
    quarantine = bool(request.param)
    with receiving(tmp_path / "instances", settings(quarantine=quarantine)) as running:
        yield running


def set_aside(node: Node) -> list[Dataset]:
    return [dcmread(path) for path in (node.root / "quarantine").glob("*")]


def is_served(port: int) -> bool:
    with associated(port) as association:
        return bool(association.send_c_echo().Status == 0)


@pytest.mark.parametrize("rq", [store_rq("1.2.9"), store_rq(sop_class=MR)])
def test_09_command_and_data_set_that_differ(
    node: Node, request: pytest.FixtureRequest, rq: bytes
) -> None:
    with associated_wire(node.port) as wire:
        wire.send(store(data_set(), rq))
        assert wire.status() == 0xA900
        wire.send(store(data_set()))
        assert wire.status() == 0
    (refusal,) = node.intake.refusals
    assert (refusal.status, "correct the instance" in refusal.reason) == (0xA900, True)
    assert len(node.intake.instances) == 1
    _check_quarantine(node, request, "1.2.3.4.5.6")


def test_10_a_data_set_that_names_no_study(
    node: Node, request: pytest.FixtureRequest
) -> None:
    with associated_wire(node.port) as wire:
        wire.send(store(data_set(StudyInstanceUID="", SOPInstanceUID="1.2.3")))
        assert wire.status() == 0xC000
        wire.send(store(data_set()))
        assert wire.status() == 0
    (refusal,) = node.intake.refusals
    assert (refusal.status, "send it again" in refusal.reason) == (0xC000, True)
    _check_quarantine(node, request, "1.2.3")


def _check_quarantine(
    node: Node, request: pytest.FixtureRequest, sop_instance_uid: str
) -> None:
    """Kept aside where it is asked for, and never where it could be analysed."""
    is_kept = "quarantine" in request.node.callspec.id.split("-")
    found = [str(ds.SOPInstanceUID) for ds in set_aside(node)]
    assert found == ([sop_instance_uid] if is_kept else [])
    assert ("set aside as" in node.intake.refusals[0].reason) == is_kept
    assert len(list(node.store.locations())) == 1
    assert not list(node.root.rglob("*.part"))


@pytest.mark.parametrize("within", [b"", pdu(pdv(1, 3, store_rq()), pdv(1, 0, b"ab"))])
@pytest.mark.parametrize("length", [0xFFFFFFFF, 256 * KIB + 1])
def test_19_a_pdu_that_is_too_long_is_aborted_at_its_header(
    tmp_path: Path, within: bytes, length: int
) -> None:
    with receiving(tmp_path) as node:
        with associated_wire(node.port) as wire:
            wire.send(within, struct.pack(">BxI", 4, length))
            assert list(wire.pdus()) == [PROVIDER_ABORT]
        assert is_served(node.port)
        assert not node.files()


def aborted(wire: Wire) -> bool:
    """By an A-ABORT, or a reset that overtakes it."""
    return [one[0] for one in wire.pdus()] in ([7], [])


def action_rq() -> bytes:
    """An N-ACTION-RQ for storage commitment (PS3.7 10.3.5, PS3.4 J.3)."""
    return command(
        element(0x0003, uid("1.2.840.10008.1.20.1")),
        element(0x0100, us(0x0130)),
        element(0x0110, us(1)),
        element(0x0800, us(1)),
        element(0x1001, uid("1.2.840.10008.1.20.1.1")),
        element(0x1008, us(1)),
    )


def large(wire: Wire, n_bytes: int) -> int:
    """The status of an instance of more than ``n_bytes``, which are never in memory."""
    wire.send(pdu(pdv(1, 3, store_rq())), pdu(pdv(1, 0, data_set())))
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, n_bytes)
    wire.send(pdu(pdv(1, 0, head)))
    fragment = pdu(pdv(1, 0, FRAGMENT))
    for _ in range(n_bytes // len(FRAGMENT)):
        wire.send(fragment)
    wire.send(pdu(pdv(1, 2, bytes(n_bytes % len(FRAGMENT)))))
    return wire.status()


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def send_large(root: Path, n_bytes: int) -> None:
    """Over and under the limit, each with bounded memory and without residue."""
    limits = Limits(max_instance_bytes=n_bytes + MIB)
    with (
        receiving(root, settings(limits=limits)) as node,
        associated_wire(node.port) as wire,
    ):
        before = resident_bytes()
        assert large(wire, n_bytes + 2 * MIB) == 0xA700
        assert not node.files()
        assert "receiver.max_instance_bytes" in node.intake.refusals[0].reason
        assert large(wire, n_bytes) == 0
        assert resident_bytes() - before < 50 * MIB
        (path,) = node.files()
        assert n_bytes < path.stat().st_size < n_bytes + MIB


def test_20_a_large_data_set_needs_no_memory_and_over_the_limit_no_disk(
    tmp_path: Path,
) -> None:
    send_large(tmp_path, 128 * MIB)


def test_20_an_odd_data_set_that_is_too_large_ends_the_association(
    tmp_path: Path,
) -> None:
    """The library keeps it in memory, so only so much."""
    limits = Limits(max_instance_bytes=MIB)
    with receiving(tmp_path, settings(limits=limits)) as node:
        with associated_wire(node.port) as wire:
            rq = store_rq()
            wire.send(pdu(pdv(1, 1, rq[:20])), pdu(pdv(1, 3, rq[20:])))
            wire.send(*[pdu(pdv(1, 0, FRAGMENT))] * 40)
            answers = list(wire.pdus())
        assert [answer[0] for answer in answers[:1]] in ([], [7])
        assert is_served(node.port)
        assert not node.files()


def test_20_what_the_library_gathers_is_limited_over_all_associations(
    tmp_path: Path,
) -> None:
    """A data set that is not plain lies in memory until it is whole."""
    rq = store_rq()
    odd = [pdu(pdv(1, 1, rq[:20])), pdu(pdv(1, 3, rq[20:]))]
    odd += [pdu(pdv(1, 0, FRAGMENT))] * (2 * MIB // 3 // len(FRAGMENT))
    with receiving(tmp_path) as node:
        node.scp._server.services.gathered.most_bytes = MIB
        with associated_wire(node.port) as first:
            first.send(*odd)
            assert is_served(node.port)
            with associated_wire(node.port) as second:
                second.send(*odd)
                assert aborted(second)
        with associated_wire(node.port) as third:
            third.send(*odd, pdu(pdv(1, 2, b"")))
            # It has come whole, whatever the bytes say.
            assert third.status() == 0xC000
        assert is_served(node.port)


@pytest.mark.parametrize(
    ("message", "n_bytes"),
    [([], 200 * KIB), ([pdu(pdv(5, 3, action_rq()))], 10 * MIB)],
    ids=["a command set", "a request for storage commitment"],
)
def test_20_other_messages_may_gather_less(
    tmp_path: Path, message: list[bytes], n_bytes: int
) -> None:
    control = 0 if message else 1
    with receiving(tmp_path) as node:
        with associated_wire(node.port) as wire:
            part = pdu(pdv(5, control, FRAGMENT))
            wire.send(*message, *[part] * (n_bytes // len(FRAGMENT)))
            assert aborted(wire)
        assert is_served(node.port)


def send_many(root: Path, n_instances: int, n_over: int) -> None:
    """Tiny instances on one association, the last ``n_over`` beyond its limit."""
    ones = [data_set(SOPInstanceUID=f"1.2.{n}") for n in range(100, 100 + n_instances)]
    limit = sum(map(len, ones[: len(ones) - n_over]))
    limits = Limits(max_association_bytes=limit)
    with receiving(root, settings(limits=limits)) as node:
        with associated_wire(node.port) as wire:
            found = []
            for n, one in enumerate(ones, 100):
                wire.send(store(one, store_rq(f"1.2.{n}")))
                found.append(wire.status())
        assert found == [0] * (n_instances - n_over) + [0xA700] * n_over
        assert len(node.files()) == n_instances - n_over
        reasons = {one.reason for one in node.intake.refusals}
        assert all("receiver.max_association_bytes" in reason for reason in reasons)
        with associated_wire(node.port) as wire:
            wire.send(store(ones[-1], store_rq(f"1.2.{99 + n_instances}")))
            assert wire.status() == 0


def test_20_many_small_instances_up_to_the_limit_of_the_association(
    tmp_path: Path,
) -> None:
    send_many(tmp_path, n_instances=60, n_over=5)


def answer_to(port: int, request: bytes) -> bytes:
    with connected(port) as wire:
        wire.send(request)
        (answer,) = wire.pdus(1)
    return answer


def results(answer: bytes) -> dict[int, int]:
    """Presentation context id -> result of an A-ASSOCIATE-AC (PS3.8 9.3.3.2)."""
    assert answer[0] == 2
    found, position = {}, 74
    while position < len(answer):
        kind, length = struct.unpack_from(">BxH", answer, position)
        if kind == 0x21:
            found[answer[position + 4]] = answer[position + 6]
        position += 4 + length
    return found


def test_21_128_contexts_are_negotiated_and_the_last_one_works(tmp_path: Path) -> None:
    contexts = [(2 * n + 1, f"1.2.826.0.1.{n}", EXPLICIT) for n in range(127)]
    contexts.append((255, CT, EXPLICIT))
    with receiving(tmp_path) as node, connected(node.port) as wire:
        wire.send(associate_rq(contexts))
        (answer,) = wire.pdus(1)
        assert results(answer) == {2 * n + 1: 0 for n in range(128)}
        wire.send(store(data_set(), context_id=255))
        assert wire.status() == 0


def test_21_what_cannot_be_negotiated_is_answered_as_the_standard_says(
    tmp_path: Path,
) -> None:
    mwl = "1.2.840.10008.5.1.4.31"
    with receiving(tmp_path) as node:
        port = node.port
        # PS3.8 Table 9-18: abstract syntax not supported.
        assert results(answer_to(port, associate_rq([(1, mwl, EXPLICIT)]))) == {1: 3}
        # PS3.8 Table 9-21: application context name, protocol version not supported.
        wrong = associate_rq(application_context=APPLICATION_CONTEXT + ".2")
        assert answer_to(port, wrong)[0:1] + answer_to(port, wrong)[7:10] == (
            b"\x03\x01\x01\x02"
        )
        assert answer_to(port, associate_rq(version=2))[6:] == b"\x00\x01\x02\x02"
        assert is_served(port)


@pytest.mark.parametrize("context_id", [2, 9, 0])
def test_21_a_context_that_is_even_or_not_negotiated_is_aborted(
    tmp_path: Path, context_id: int
) -> None:
    """The library would not answer at all, and the sender wait for ever."""
    with receiving(tmp_path) as node:
        with associated_wire(node.port) as wire:
            wire.send(store(data_set(), context_id=context_id))
            (answer,) = wire.pdus()
            assert answer[0] == 7
        assert is_served(node.port)
        assert not node.files()


@pytest.mark.parametrize("end", [b"", b"\xfe\xff\x00\xe0", b"\xfe\xff\x00\xe0\x04\x00"])
def test_21_a_command_set_that_ends_in_a_sequence_is_aborted(
    tmp_path: Path, end: bytes
) -> None:
    """Of the library's decoder it comes out as if a disk had failed."""
    # PS3.5 7.5.1: (0008,1140) of undefined length in Implicit VR Little Endian.
    command_set = struct.pack("<HHI", 8, 0x1140, 0xFFFFFFFF) + end
    with receiving(tmp_path) as node:
        with associated_wire(node.port) as wire:
            wire.send(pdu(pdv(1, 3, command_set)))
            (answer,) = wire.pdus()
            assert answer[0] == 7
        assert is_served(node.port)


def test_21_an_echo_on_the_last_context(tmp_path: Path) -> None:
    from tests.integration.wire import echo_rq

    contexts = [(255, VERIFICATION, EXPLICIT)]
    with (
        receiving(tmp_path) as node,
        associated_wire(node.port, contexts) as wire,
    ):
        wire.send(pdu(pdv(255, 3, echo_rq())))
        (answer,) = wire.pdus(1)
        assert status(answer) == 0


def main() -> int:
    """The sizes that are asked for; needs room for the data set on the disk."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.test_receiving")
    parser.add_argument("--mebibytes", type=int, default=2048)
    parser.add_argument("--instances", type=int, default=100_000)
    given = parser.parse_args()
    # A line for each instance would hide what this one has to say.
    quiet = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=quiet)
    with tempfile.TemporaryDirectory() as folder:
        send_large(Path(folder) / "large", given.mebibytes * MIB)
        send_many(Path(folder) / "many", given.instances, n_over=1000)
    sys.stdout.write(
        f"{given.mebibytes} MiB over and under the limit with less than 50 MiB of "
        f"memory, {given.instances} instances on one association: as it must\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
