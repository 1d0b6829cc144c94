"""Several receiver processes: the TLS port and the places of the lobby are shared."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.certificates import Authority
from tests.integration.rig import storescu
from tests.integration.test_receive_shared import (
    MANY_TRIES,
    N_PROCESSES,
    Receivers,
    images,
)

MOST_WAITING = 6
TABLES = f"""
max_connections = {MOST_WAITING}
request_timeout_seconds = 600

[receiver.tls]
enabled = true
port = 0
"""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def receivers(tmp_path: Path, authority: Authority) -> Iterator[Receivers]:
    ours = authority.issue("node")
    files = {
        "certificate": ours.certificate,
        "private_key": ours.private_key,
        "client_ca": authority.pem,
    }
    named = "".join(f'{key} = "{path}"\n' for key, path in files.items())
    made = Receivers(tmp_path, TABLES + named)
    with made.running():
        yield made


@pytest.mark.peer
def test_all_processes_take_tls_connections_on_one_port(
    receivers: Receivers, authority: Authority, require_command
) -> None:
    require_command("storescu")
    [port] = {one["tls_port"] for one in receivers.said("receiver.ready")}
    assert port != receivers.port
    scanner = authority.issue("scanner")
    keys = "+tls", str(scanner.private_key), str(scanner.certificate)
    for path in images(receivers.folder, 1000, MANY_TRIES):
        sent = storescu(port, [path], *keys, "+cf", str(authority.pem))
        assert sent.returncode == 0, sent.stderr
        if len(receivers.pids_with_work()) == N_PROCESSES:
            break
    assert receivers.pids_with_work() == receivers.pids()


def test_the_processes_share_the_places_of_those_who_only_wait(
    receivers: Receivers,
) -> None:
    with ExitStack() as held:
        waiting = [
            held.enter_context(socket.create_connection(("127.0.0.1", receivers.port)))
            for _ in range(8 * MOST_WAITING)
        ]
        receivers.wait(lambda: len(still_open(waiting)) == MOST_WAITING)


def still_open(connections: list[socket.socket]) -> list[socket.socket]:
    """Those that the receiver has not closed; nothing is ever sent to them."""
    closed, _, _ = select.select(connections, [], [], 0)
    return [one for one in connections if one not in closed]
