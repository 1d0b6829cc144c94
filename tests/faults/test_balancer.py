"""Receivers behind a TCP balancer: probes leave nothing, and addresses still count."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made at import

from dicomnode.demo.program import Program
from dicomnode.receiver.lobby import LobbyLimits
from dicomnode.receiver.peers import Peer
from tests.faults.raw import (
    A_ABORT,
    A_ASSOCIATE_AC,
    HANG_SECONDS,
    answer,
    connected,
    everything,
    request,
)
from tests.integration.receiving import Node, receiving, settings, undisturbed
from tests.unit.receiver.test_proxy_protocol import header

MODALITY, STRANGER = "127.0.0.7", "127.0.0.8"
PEERS = (Peer("MODALITY", (MODALITY,)), Peer("PROBE", ("127.0.0.1",)))
RELEASE = "05000000000400000000"


def behind(*balancers: str) -> dict[str, object]:
    """Settings of a receiver that trusts these."""
    return {"peers": PEERS, "lobby": LobbyLimits(proxy_protocol_from=balancers)}


@contextmanager
def receiver(folder: Path, *balancers: str) -> Iterator[Node]:
    how = settings()
    changed = {**{n: getattr(how, n) for n in how.__slots__}, **behind(*balancers)}
    with receiving(folder, type(how)(**changed)) as node:
        yield node


def passed_on(address: str) -> bytes:
    """The header of a connection from ``address``."""
    packed = socket.inet_aton(address)
    return header(0x21, 0x11, packed + bytes(4) + bytes.fromhex("d431 2b68"))


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread or program does."""
    waiting = threading.Event()
    for _ in range(HANG_SECONDS * 100):
        if condition():
            return
        waiting.wait(0.01)
    raise AssertionError("it did not come")


@pytest.mark.parametrize("split", [0, 1, 12, 16, 20, 27, 28, 30, 40])
def test_23_the_address_is_that_of_who_connected_to_the_balancer(
    tmp_path: Path, split: int
) -> None:
    """However the header and the request are cut into segments."""
    sent = passed_on(MODALITY) + request()
    with receiver(tmp_path, "127.0.0.1") as node:
        with connected(node.port) as connection:
            connection.sendall(sent[:split])
            connection.sendall(sent[split:])
            assert answer(connection)[0] == A_ASSOCIATE_AC
            connection.sendall(bytes.fromhex(RELEASE))
            everything(connection)
        with connected(node.port) as connection:
            connection.sendall(passed_on(STRANGER) + request())
            assert answer(connection)[0] != A_ASSOCIATE_AC
    seen = [(one.address, one.accepted) for one in node.intake.associations]
    assert seen == [(MODALITY, True), (STRANGER, False)]


@pytest.mark.parametrize(
    "sent",
    [
        request(),
        b"PROXY TCP4 127.0.0.7 127.0.0.1 5 6\r\n" + request(),
        header(0x21, 0x11, b"") + request(),
        header(0x21, 0x11, bytes(3000))[:16],
    ],
    ids=["no header", "version 1", "no addresses", "too long"],
)
def test_23_a_balancer_that_does_not_say_for_whom_is_turned_away(
    tmp_path: Path, sent: bytes
) -> None:
    with receiver(tmp_path, "127.0.0.0/8") as node:
        with connected(node.port) as connection:
            connection.sendall(sent)
            assert everything(connection)[:1] == bytes([A_ABORT])
        until(lambda: bool(node.intake.associations))
    (one,) = node.intake.associations
    assert "proxy_protocol_from" in one.remedy


def test_23_from_elsewhere_a_header_claims_nothing(tmp_path: Path) -> None:
    with receiver(tmp_path, "10.0.0.0/8") as node:
        with connected(node.port, STRANGER) as connection:
            connection.sendall(passed_on(MODALITY) + request())
            assert everything(connection)[:1] == bytes([A_ABORT])
        until(lambda: bool(node.intake.associations))
    assert node.intake.associations[0].address == STRANGER


def test_23_a_balancer_that_speaks_for_itself_is_itself(tmp_path: Path) -> None:
    with (
        receiver(tmp_path, "127.0.0.0/8") as node,
        connected(node.port, MODALITY) as connection,
    ):
        connection.sendall(header(0x20, 0x00, b"") + request())
        assert answer(connection)[0] == A_ASSOCIATE_AC
        connection.sendall(bytes.fromhex(RELEASE))
        everything(connection)


# with a real one

HAPROXY = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout check 60s
    timeout client 60s
    timeout server 60s
frontend dicom
    bind 127.0.0.1:{port}
    default_backend receivers
backend receivers
    balance roundrobin
    {check}
    server one 127.0.0.1:{one} check inter 20ms {server}
    server two 127.0.0.1:{two} check inter 20ms {server}
"""
CHECKS = {
    "connect and close": "",
    "association": "\n    ".join(
        [
            "option tcp-check",
            "tcp-check connect{proxy}",
            f"tcp-check send-binary {request(calling='PROBE').hex()}",
            "tcp-check expect binary 02",
            f"tcp-check send-binary {RELEASE}",
            "tcp-check expect binary 06",
        ]
    ),
}


def echoed(port: int, source: str) -> bool:
    """Whether a C-ECHO from this address is answered."""
    ae = AE("MODALITY")
    ae.add_requested_context(Verification)
    association: Association = ae.associate(
        "127.0.0.1", port, ae_title="DICOMNODE", bind_address=(source, 0)
    )
    if not association.is_established:
        return False
    with undisturbed(association):
        status = association.send_c_echo()
    association.release()
    return bool("Status" in status and status.Status == 0)


@pytest.mark.peer
@pytest.mark.parametrize("check", CHECKS)
def test_23_two_receivers_behind_haproxy(
    tmp_path: Path,
    require_command: Callable[[str], str],
    free_port: Callable[[], int],
    check: str,
) -> None:
    program = require_command("haproxy")
    port, config = free_port(), tmp_path / "haproxy.cfg"
    with ExitStack() as stack:
        one, two = (
            stack.enter_context(receiver(tmp_path / name, "127.0.0.1"))
            for name in ("one", "two")
        )
        config.write_text(
            HAPROXY.format(
                port=port,
                one=one.port,
                two=two.port,
                check=CHECKS[check].format(proxy=" send-proxy"),
                server="send-proxy-v2 check-send-proxy",
            )
        )
        subprocess.run([program, "-c", "-q", "-f", config], check=True)
        log = tmp_path / "haproxy.log"
        with Program("haproxy", [program, "-f", str(config)], log):
            until(lambda: echoed(port, MODALITY))
            done = [echoed(port, MODALITY) for _ in range(6)]
            assert done == [True] * 6
            assert not echoed(port, STRANGER)
        for node in (one, two):
            of_modality = [
                each
                for each in node.intake.associations
                if each.calling_ae_title == "MODALITY" and each.accepted
            ]
            assert len(of_modality) >= 3
            assert {each.address for each in of_modality} == {MODALITY}
            # Whatever probes have come: none of them is still an association.
            until(lambda node=node: not node.scp._server.living())
            if check == "connect and close":
                titles = {each.calling_ae_title for each in node.intake.associations}
                assert titles <= {"MODALITY"}
