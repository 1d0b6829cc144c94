"""What the demonstration starts, ends with it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from dicomnode.demo import program
from dicomnode.demo.failure import DemoFailed
from dicomnode.demo.program import Program, free_port, wait_until

HANG_SECONDS = 300
_READY = "import sys; print('ready', flush=True); "
_STUBBORN = (
    "import os, signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print('ready', child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


def _runs(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:  # gone, perhaps while it was read
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def _start(code: str, folder: Path) -> Program:
    return Program("it", [sys.executable, "-c", code], folder / "it.log")


def test_it_ends_with_its_context(folder: Path) -> None:
    with _start(_READY + "import time; time.sleep(600)", folder) as it:
        assert wait_until(lambda: "ready" in it.tail(), it.check, HANG_SECONDS)
        assert not it.ended()
    assert it.ended()


def test_a_stubborn_one_and_its_children_are_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_GRACE_SECONDS", 0.1)
    with _start(_STUBBORN, folder) as it:
        assert wait_until(lambda: "ready" in it.tail(), it.check, HANG_SECONDS)
        child = int(it.tail().split()[1])
        assert _runs(child)
    assert it.ended()
    assert wait_until(lambda: not _runs(child), lambda: None, HANG_SECONDS)


def test_one_that_ends_by_itself_is_told_with_its_log(folder: Path) -> None:
    failing = _start("print('no such bundle'); raise SystemExit(1)", folder)
    with failing, pytest.raises(DemoFailed, match="no such bundle"):
        wait_until(lambda: False, failing.check, HANG_SECONDS)


def test_it_gets_the_environment_it_is_given(folder: Path) -> None:
    environment = {**os.environ, "GREETING": "hello"}
    code = "import os; print(os.environ['GREETING'])"
    command = [sys.executable, "-c", code]
    with Program("it", command, folder / "it.log", environment) as it:
        assert wait_until(it.ended, lambda: None, HANG_SECONDS)
    assert "hello" in it.tail()


def test_a_free_port_is_found_once_and_can_be_listened_on() -> None:
    ports = [free_port() for _ in range(500)]
    assert len(set(ports)) == len(ports)
    with socket.socket() as another, pytest.raises(OSError, match="in use"):
        another.bind(("127.0.0.1", ports[0]))  # as another process looks for one
    with socket.create_server(("127.0.0.1", ports[0])) as server:
        assert server.getsockname()[1] == ports[0]
