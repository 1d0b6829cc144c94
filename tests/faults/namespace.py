"""Fault 58 from within: run by its test as root of a network namespace of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from dicomnode.receiver.peers import Peer
from tests.faults.raw import A_ASSOCIATE_AC, answer, request
from tests.integration.receiving import Node, receiving, settings

# Every kernel has it, and to a receiver it is an interface like any other.
DEVICE = "lo"
NETWORKS = ("10.9.0.0/24", "fd00:9::/64")
_PATIENCE_SECONDS = 30.0
_NO_WAY_SECONDS = 1.0
_PAUSE_SECONDS = 0.02


def ip(*words: str) -> None:
    """iproute2."""
    subprocess.run(["ip", *words], check=True)


def plugged_in(*addresses: str) -> None:
    """The interface up, with these addresses and no others."""
    ip("address", "flush", "dev", DEVICE)
    ip("link", "set", DEVICE, "up")
    for address in addresses:
        no_wait = ("nodad",) if ":" in address else ()
        ip("address", "add", address, "dev", DEVICE, *no_wait)


def accepts(node: Node, address: str, seconds: float = _PATIENCE_SECONDS) -> bool:
    """Whether an association comes about at ``address``; False: no way there.

    The kernel makes an IPv6 address usable some time after `ip` has returned.
    """
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        try:
            connection = socket.create_connection((address, node.port), left)
        except OSError:
            time.sleep(_PAUSE_SECONDS)
            continue
        with connection:
            connection.sendall(request())
            return answer(connection)[0] == A_ASSOCIATE_AC
    return False


def main(folder: Path) -> None:
    """Plug, unplug, move; the receiver is never touched."""
    plugged_in("10.9.0.1/32", "fd00:9::1/128")
    peers = (Peer("MODALITY", NETWORKS),)
    how = replace(settings(), peers=peers, host="::")
    with receiving(folder, how) as node:
        assert accepts(node, "10.9.0.1"), "IPv4"
        assert accepts(node, "fd00:9::1"), "IPv6"
        ip("link", "set", DEVICE, "down")
        assert not accepts(node, "10.9.0.1", _NO_WAY_SECONDS), "unplugged"
        plugged_in("10.9.0.1/32", "fd00:9::1/128")
        assert accepts(node, "10.9.0.1"), "plugged in again"
        plugged_in("10.9.0.77/32", "fd00:9::77/128")
        assert not accepts(node, "10.9.0.1", _NO_WAY_SECONDS), "the old address"
        assert accepts(node, "10.9.0.77"), "another address"
        assert accepts(node, "fd00:9::77"), "another IPv6 address"
    # Each is recorded at its end, the last once the receiver has stopped.
    addresses = {one.address for one in node.intake.associations}
    assert {"fd00:9::1", "fd00:9::77"} <= addresses, addresses


if __name__ == "__main__":
    main(Path(sys.argv[1]))
