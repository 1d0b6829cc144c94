"""Hosts on one machine: network namespaces joined by a bridge, a cable for each.

Each has a name of its own too (a UTS namespace).

The process that makes them is root of a network namespace of its own, which is the
switch: nothing of it is seen on the machine, and all of it is gone with the process.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

NETWORK = "10.77.0"
SWITCH = f"{NETWORK}.254"
_CLONE_NEWNET = 0x40000000
_CLONE_NEWUTS = 0x04000000
_BRIDGE = "switch"


def ip(*words: str) -> None:
    """iproute2."""
    subprocess.run(["ip", *words], check=True)


@dataclass(frozen=True)
class Host:
    """Namespaces of network and name, kept by a process that only waits."""

    name: str
    address: str
    keeper: int

    def unplug(self) -> None:
        """As if someone had pulled the cable."""
        ip("link", "set", self._port, "down")

    def plug_in(self) -> None:
        """The cable again."""
        ip("link", "set", self._port, "up")

    def command(self, *argv: str) -> list[str]:
        """``argv`` as it runs on this host."""
        return ["nsenter", "-t", str(self.keeper), "-n", "-u", *argv]

    @property
    def _port(self) -> str:
        return f"to-{self.name}"


def enter(keeper: int) -> None:
    """Move this thread, and what it starts from now on, to another host."""
    library = ctypes.CDLL(None, use_errno=True)
    for kind, flag in (("net", _CLONE_NEWNET), ("uts", _CLONE_NEWUTS)):
        with Path(f"/proc/{keeper}/ns/{kind}").open() as namespace:
            if library.setns(namespace.fileno(), flag):
                raise OSError(ctypes.get_errno(), f"setns {kind}")


@contextmanager
def hosts(names: Sequence[str]) -> Iterator[dict[str, Host]]:
    """A host of each name, plugged into the switch, which is this namespace."""
    ip("link", "set", "lo", "up")
    ip("link", "add", _BRIDGE, "type", "bridge")
    ip("address", "add", f"{SWITCH}/24", "dev", _BRIDGE)
    ip("link", "set", _BRIDGE, "up")
    keepers: list[subprocess.Popen[bytes]] = []
    try:
        made: dict[str, Host] = {}
        for number, name in enumerate(names, 1):
            keepers.append(_keeper(name))
            made[name] = _plugged_in(name, number, keepers[-1].pid)
        yield made
    finally:
        for one in keepers:
            one.kill()
            one.wait()


def _keeper(name: str) -> subprocess.Popen[bytes]:
    """A process in new namespaces; they are there when this returns."""
    argv = ["unshare", "--net", "--uts", sys.executable, "-c", _WAITS, name]
    keeper = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == b"here\n"
    return keeper


_WAITS = """
import socket, sys
socket.sethostname(sys.argv[1])
print("here", flush=True)
sys.stdin.read()
"""


def _plugged_in(name: str, number: int, keeper: int) -> Host:
    host = Host(name, f"{NETWORK}.{number}", keeper)
    ip("link", "add", host._port, "type", "veth", "peer", "name", f"of-{name}")
    ip("link", "set", f"of-{name}", "netns", str(keeper))
    ip("link", "set", host._port, "master", _BRIDGE)
    host.plug_in()
    for words in (
        ("link", "set", "lo", "up"),
        ("address", "add", f"{host.address}/24", "dev", f"of-{name}"),
        ("link", "set", f"of-{name}", "up"),
    ):
        subprocess.run(host.command("ip", *words), check=True)
    return host


def alone(module: str, arguments: Sequence[str]) -> list[str]:
    """The command line of a program in a network namespace of its own."""
    return ["unshare", "--net", sys.executable, "-m", module, *arguments]
