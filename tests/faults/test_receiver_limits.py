"""Faults 16 to 19, 23, 24 and 58: those who connect and mean no good, or are ill."""

from __future__ import annotations

import resource
import socket
import struct
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dicomnode.receiver.lobby import LobbyLimits
from dicomnode.receiver.peers import Peer
from tests.conftest import unavailable
from tests.faults.raw import (
    A_ABORT,
    A_ASSOCIATE_AC,
    HANG_SECONDS,
    VERIFICATION,
    answer,
    connected,
    everything,
    header,
    rejection,
    request,
)
from tests.faults.running import CONFIG, receiver
from tests.integration.receiving import (
    MODALITY,
    POLICY,
    Node,
    associated,
    receiving,
    settings,
    status,
)
from tests.integration.test_receive import made

Require = Callable[[str], str]
MIB = 1024 * 1024
N_IDLE, N_SLOW = 200, 50


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    with receiving(tmp_path / "instances") as running:
        yield running


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Node]:
    how = settings(lobby=LobbyLimits(request_timeout_seconds=0.3))
    with receiving(tmp_path / "instances", how) as running:
        yield running


@pytest.fixture
def many_files() -> Iterator[None]:
    """Both ends of hundreds of connections are open here and in our children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def echoes(port: int) -> bool:
    """Whether a C-ECHO is answered; a deadline may pass meanwhile."""
    with associated(port) as association, suppress(RuntimeError):
        status = association.send_c_echo()
        return "Status" in status and status.Status == 0
    return False


def eventually(holds: Callable[[], bool]) -> bool:
    tick = threading.Event()
    return any(holds() or tick.wait(0.02) for _ in range(HANG_SECONDS * 50))


# 16: a sender stops in mid-PDU for ever


@pytest.mark.parametrize(
    "sent",
    [b"", b"\x01", request()[:6], request()[:-1]],
    ids=["silent", "a byte", "a header", "all but a byte"],
)
def test_16_a_request_that_stops_half_way_ends_at_its_deadline(
    impatient: Node, sent: bytes
) -> None:
    n_threads = threading.active_count()
    with connected(impatient.port) as connection:
        with suppress(ConnectionError):  # on a busy machine we may be late ourselves
            connection.sendall(sent)
        # Those of receivers before this one may end meanwhile.
        assert threading.active_count() <= n_threads
        assert everything(connection) == b""
    assert eventually(lambda: echoes(impatient.port))


def test_16_a_data_pdu_that_stops_half_way_ends_at_its_deadline(
    tmp_path: Path,
) -> None:
    how = settings(network_timeout_seconds=0.3)
    with receiving(tmp_path, how) as node, connected(node.port) as connection:
        connection.sendall(request())
        assert answer(connection)[0] == A_ASSOCIATE_AC
        with suppress(ConnectionError):
            connection.sendall(header(4, 1000) + b"half")
        assert everything(connection)[:1] in (b"", bytes([A_ABORT]))
        assert eventually(lambda: echoes(node.port))


def test_16_a_request_that_comes_byte_by_byte_is_served_in_time(
    tmp_path: Path,
) -> None:
    with receiving(tmp_path) as node, connected(node.port) as connection:
        for byte in request():
            connection.send(bytes([byte]))
        assert answer(connection)[0] == A_ASSOCIATE_AC


def test_16_an_association_may_not_last_for_ever(tmp_path: Path) -> None:
    with (
        receiving(tmp_path, settings(max_association_seconds=0.2)) as node,
        connected(node.port) as connection,
    ):
        connection.sendall(request())
        assert answer(connection)[0] == A_ASSOCIATE_AC
        assert everything(connection)[:1] in (b"", bytes([A_ABORT]))


# 17: 200 idle connections, 50 slow ones


@contextmanager
def crowd(port: int, n_idle: int, n_slow: int) -> Iterator[None]:
    """Idle connections, and such that send a byte of a request now and then."""
    with ExitStack() as stack:
        for number in range(n_idle + n_slow):
            one = stack.enter_context(connected(port))
            if number >= n_idle:
                one.sendall(request()[: 1 + number % 100])
        yield


@pytest.mark.peer
@pytest.mark.usefixtures("many_files")
def test_17_idle_connections_do_not_stop_a_scanner(
    tmp_path: Path, require_command: Require, shared_data: Path
) -> None:
    source = shared_data / "dicom" / "transfer_syntax_same_ct" / "CTImage.dcm"
    config = CONFIG.replace("port = 0", "port = 0\nmax_connections_per_address = 300")
    with receiver(tmp_path, config) as running:
        n_threads, memory = running.n_threads, running.memory_kib
        with crowd(running.port, N_IDLE, N_SLOW):
            done = store(require_command("storescu"), running.port, source)
            assert done.returncode == 0, done.stderr
            running.wait_for("receiver.association")
            # Those who wait have no thread, and next to no memory.
            assert running.n_threads <= n_threads + 4
            assert running.memory_kib <= memory + 32 * 1024
        assert eventually(lambda: running.n_threads <= n_threads + 2)


def store(
    command: str, port: int, source: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    titles = ("-aet", "MODALITY", "-aec", "DICOMNODE", "127.0.0.1", str(port))
    return subprocess.run(
        [command, "-R", *options, *titles, str(source)],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


@pytest.mark.parametrize(
    "limits",
    [
        LobbyLimits(HANG_SECONDS, max_connections_per_address=5),
        LobbyLimits(HANG_SECONDS, max_connections=5),
    ],
    ids=["of an address", "in all"],
)
def test_17_when_the_lobby_is_full_who_has_waited_longest_leaves(
    tmp_path: Path, limits: LobbyLimits
) -> None:
    with receiving(tmp_path, settings(lobby=limits)) as node, ExitStack() as stack:
        idle = [stack.enter_context(connected(node.port)) for _ in range(8)]
        for one in idle[:3]:
            assert everything(one) == b""
        assert echoes(node.port)
        idle[-1].sendall(request())
        assert answer(idle[-1])[0] == A_ASSOCIATE_AC


def test_17_a_crowd_of_one_address_puts_out_no_other(tmp_path: Path) -> None:
    limits = LobbyLimits(HANG_SECONDS, max_connections=6)
    with receiving(tmp_path, settings(lobby=limits)) as node, ExitStack() as stack:
        other = stack.enter_context(connected(node.port, "127.0.0.2"))
        crowd = [stack.enter_context(connected(node.port)) for _ in range(10)]
        assert everything(crowd[0]) == b""
        other.sendall(request())
        # From an address that is not its own, and heard all the same.
        assert rejection(answer(other)) == (1, 1, 3)


# 18: association limits, in all and per peer


def test_18_a_peer_at_its_own_limit_is_told_and_others_come_in(tmp_path: Path) -> None:
    few = replace(MODALITY, max_associations=2)
    other = Peer("OTHER", ("127.0.0.1",))
    how = replace(settings(), peers=(few, other))
    with receiving(tmp_path, how) as node, ExitStack() as stack:
        held = [stack.enter_context(connected(node.port)) for _ in range(3)]
        answers = []
        for one in held:
            one.sendall(request())
            answers.append(answer(one))
        assert [one[0] for one in answers[:2]] == [A_ASSOCIATE_AC] * 2
        assert rejection(answers[2]) == (2, 3, 2)
        with associated(node.port, calling="OTHER") as association:
            assert association.send_c_echo().Status == 0
        (refused,) = [one for one in node.intake.associations if not one.accepted]
        remedy = {"peer": [{"ae_title": "MODALITY", "max_associations": 4}]}
        assert tomllib.loads(refused.remedy) == remedy
        held[0].sendall(bytes.fromhex("05 00 00000004 00000000"))
        assert answer(held[0])[0] == 0x06
        assert eventually(lambda: echoes(node.port))


def test_24_who_asks_under_ever_new_titles_fills_neither_log_nor_worklist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row is a commit that scanners wait for, and this needs no peer entry."""
    with receiving(tmp_path) as node:
        for number in range(100):
            with connected(node.port) as wire:
                wire.sendall(request(f"NOBODY{number}"))
                assert rejection(answer(wire)) == (1, 1, 3)
        # A scanner that is set up wrongly is still seen.
        with connected(node.port, "127.0.0.2") as wire:
            wire.sendall(request("SCANNER"))
            assert rejection(answer(wire)) == (1, 1, 3)
        assert eventually(
            lambda: node.intake.associations[-1].calling_ae_title == "SCANNER"
        )
        assert len(node.intake.associations) == 31
    assert capsys.readouterr().out.count("receiver.refusals_not_told") == 1


@pytest.mark.peer
def test_18_a_flood_of_associations_is_refused_and_passes(
    tmp_path: Path, require_command: Require
) -> None:
    policy = replace(POLICY, max_associations=4)
    echo = require_command("echoscu")
    # Those of receivers before this one stay for a while without work.
    before = threading.active_count()
    with receiving(tmp_path, settings(policy)) as node, ExitStack() as stack:
        rejected = set()
        for _ in range(40):
            one = stack.enter_context(connected(node.port))
            one.sendall(request())
            pdu = answer(one)
            rejected |= {rejection(pdu)} if pdu[0] != A_ASSOCIATE_AC else set()
        # Local limit exceeded.
        assert rejected == {(2, 3, 2)}
        where = ("-aet", "MODALITY", "-aec", "DICOMNODE", "127.0.0.1", str(node.port))
        told = subprocess.run([echo, *where], capture_output=True, text=True)
        assert "Local Limit Exceeded" in told.stderr
        assert threading.active_count() < before + 40
        stack.close()
        assert eventually(lambda: subprocess.run([echo, *where]).returncode == 0)


def test_18_no_thread_is_left_for_those_beyond_all_limits(tmp_path: Path) -> None:
    """Temporary congestion, said by the lobby itself."""
    policy = replace(POLICY, max_associations=1)
    with receiving(tmp_path, settings(policy)) as node, ExitStack() as stack:
        limits = replace(node.scp._server._limits, max_associations=1)
        node.scp._server._limits = limits
        first = stack.enter_context(connected(node.port))
        first.sendall(request())
        assert answer(first)[0] == A_ASSOCIATE_AC
        second = stack.enter_context(connected(node.port))
        second.sendall(request())
        assert rejection(answer(second)) == (2, 3, 1)


def test_18_the_acceptor_survives_a_want_of_descriptors(tmp_path: Path) -> None:
    """EMFILE in accept: who has waited longest leaves, and it goes on."""
    with receiver(tmp_path) as running, ExitStack() as stack:
        assert echoes(running.port)
        running.limit_descriptors(running.n_descriptors + 10)
        idle = [stack.enter_context(connected(running.port)) for _ in range(40)]
        assert everything(idle[0]) == b""
        assert echoes(running.port)
        line = running.wait_for("receiver.cannot_accept")
        assert "LimitNOFILE" in line["remedy"]
        assert len(running.events("receiver.cannot_accept")) == 1


# 19: a PDU that announces more than we take


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("length", [256 * 1024 + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_19_an_overlong_pdu_is_aborted_at_its_header(
    node: Node, kind: int, length: int
) -> None:
    with connected(node.port) as connection:
        connection.sendall(header(kind, length))
        # PS3.8 9.3.8: by the provider, invalid PDU parameter value.
        assert everything(connection) == bytes.fromhex("07 00 00000004 00 00 02 06")
    # It has cost no association, and so no thread.
    assert node.scp._server.living() == ()
    assert eventually(lambda: bool(node.intake.associations))
    assert f"a PDU of {length} bytes" in node.intake.associations[0].reason


def test_19_overlong_pdus_take_no_memory(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        assert echoes(running.port)
        before = running.memory_kib
        for _ in range(50):
            with connected(running.port) as connection:
                connection.sendall(header(1, 0xFFFFFFFF))
                everything(connection)
            with connected(running.port) as connection:
                connection.sendall(request())
                assert answer(connection)[0] == A_ASSOCIATE_AC
                connection.sendall(header(4, 0xFFFFFFFF))
                everything(connection)
        assert running.memory_kib <= before + 16 * 1024


# 23: health probes, and other protocols


PROBES = {
    "connect and close": b"",
    "a byte": b"\x00",
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS": bytes.fromhex("16 03 01 00 05 01 00 00 01 00"),
    "random": bytes(range(8, 108)),
    "abort": bytes.fromhex("07 00 00000004 00000000"),
    "data before a request": struct.pack(">BBI", 4, 0, 8) + bytes(8),
}
N_PROBES = 40


def test_23_probes_leave_nothing_behind_and_one_line(tmp_path: Path) -> None:
    with receiver(tmp_path) as running:
        assert echoes(running.port)
        threads, descriptors = running.n_threads, running.n_descriptors
        for sent in PROBES.values():
            for _ in range(N_PROBES):
                with connected(running.port) as connection:
                    connection.sendall(sent)
                    shut(connection)
                    everything(connection)
        assert echoes(running.port)
        assert eventually(lambda: running.n_descriptors <= descriptors)
        assert eventually(lambda: running.n_threads <= threads + 1)
        running.wait_for("receiver.turned_away")
        (line,) = running.events("receiver.turned_away")
        assert line["address"] == "127.0.0.1"
        levels = {one["level"] for one in running.said}
        assert levels <= {"info", "warning"}


def shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        # It was turned away before.
        return


# 24: who is not known


@pytest.mark.peer
@pytest.mark.parametrize(
    ("calling", "called", "cause", "message"),
    [
        ("STRANGER", "DICOMNODE", (1, 1, 3), "Calling AE Title Not Recognized"),
        ("MODALITY", "OTHER", (1, 1, 7), "Called AE Title Not Recognized"),
        ("ELSEWHERE", "DICOMNODE", (1, 1, 3), "Calling AE Title Not Recognized"),
    ],
)
def test_24_who_is_refused_is_told_why_and_we_are_told_the_remedy(
    tmp_path: Path,
    require_command: Require,
    calling: str,
    called: str,
    cause: tuple[int, int, int],
    message: str,
) -> None:
    known = (MODALITY, Peer("ELSEWHERE", ("10.1.0.0/16", "2001:db8::/32")))
    how = replace(settings(), peers=known)
    where = ("-aet", calling, "-aec", called, "127.0.0.1")
    with receiving(tmp_path, how) as node:
        # Even C-ECHO needs a [[peer]] table.
        command = [require_command("echoscu"), *where, str(node.port)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert message in done.stderr
        with connected(node.port) as connection:
            connection.sendall(request(calling, called))
            assert rejection(answer(connection)) == cause
        # The same refusal twice in a minute is noted once.
        (refused,) = node.intake.associations
    policy, peers = POLICY, known
    added = tomllib.loads(refused.remedy)
    for one in added.get("peer", []):
        peers = (*peers, Peer(one["ae_title"], tuple(one["hosts"])))
    if "receiver" in added:
        policy = replace(policy, **added["receiver"])
    with receiving(tmp_path, replace(settings(policy), peers=peers)) as node:
        admitted = [*command[:-1], str(node.port)]
        assert subprocess.run(admitted, check=False).returncode == 0


@pytest.mark.parametrize(
    ("services", "echo", "stored"),
    [
        ({"echo"}, True, False),
        ({"store"}, False, True),
        ({"store", "echo"}, True, True),
        ({"commitment"}, False, False),
    ],
)
def test_24_a_peer_gets_the_services_of_its_table_only(
    tmp_path: Path, services: set[str], echo: bool, stored: bool
) -> None:
    one = made()
    peer = replace(MODALITY, services=frozenset(services))
    how = replace(settings(), peers=(peer,))
    with (
        receiving(tmp_path, how) as node,
        associated(node.port, [one.context]) as association,
    ):
        accepted = {str(c.abstract_syntax) for c in association.accepted_contexts}
        assert (VERIFICATION in accepted) is echo
        assert (one.key.sop_class_uid in accepted) is stored
        if stored:
            assert status(association, one) == 0
        (seen,) = node.intake.associations
    assert bool(seen.remedy) is not (echo or stored)
    if seen.remedy:
        (table,) = tomllib.loads(seen.remedy)["peer"]
        assert set(table["services"]) == {"store", "echo", "commitment"}


# 58: an interface that is unplugged, an address that changes, IPv6


@pytest.mark.peer
def test_58_the_network_goes_and_comes_back_with_another_address(
    tmp_path: Path, require_command: Require
) -> None:
    own_network = [require_command("unshare"), "--map-root-user", "--net"]
    require_command("ip")
    if subprocess.run([*own_network, "true"], check=False).returncode:
        unavailable("no network namespace can be made here")
    inside = [sys.executable, "-m", "tests.faults.namespace", str(tmp_path)]
    done = subprocess.run(
        [*own_network, *inside], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("host", ["::1", "localhost"])
def test_58_it_listens_as_configured(tmp_path: Path, host: str) -> None:
    how = replace(settings(host=host), peers=(Peer("MODALITY", ("::1", "127.0.0.1")),))
    with (
        receiving(tmp_path, how) as node,
        socket.create_connection((host, node.port), HANG_SECONDS) as connection,
    ):
        connection.sendall(request())
        assert answer(connection)[0] == A_ASSOCIATE_AC
