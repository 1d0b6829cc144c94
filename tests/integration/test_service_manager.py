"""What the roles tell systemd: ready, alive while their loop turns, stopping."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicomnode.processes import service
from dicomnode.processes.service import Pulse

HANG_SECONDS = 300
CONFIG = """
[store]
watermark_percent = 100
[receiver]
host = "127.0.0.1"
port = {port}
[web]
port = {web_port}
[keep]
interval_seconds = 0.1
[audit]
enabled = false
"""


class Manager:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, folder: Path, ports: Callable[[], int]) -> None:
        self.folder = folder
        self.path = folder / "notify"
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.listener.bind(str(self.path))
        self.listener.settimeout(HANG_SECONDS)
        text = CONFIG.format(port=ports(), web_port=ports())
        (folder / "config.toml").write_text(text)

    def heard(self) -> str:
        return self.listener.recv(4096).decode()

    def until(self, state: str) -> list[str]:
        """Everything that was heard, up to ``state``."""
        heard = [self.heard()]
        while heard[-1] != state:
            heard.append(self.heard())
        return heard

    @contextmanager
    def running(self, argv: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
        environ = {
            **os.environ,
            "NOTIFY_SOCKET": str(self.path),
            "WATCHDOG_USEC": "30000000",
        }
        with (self.folder / "role.log").open("w") as log:
            process = subprocess.Popen(
                argv, env=environ, cwd=self.folder, stdout=log, stderr=log, text=True
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
                process.wait()


@pytest.fixture
def manager(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Manager]:
    made = Manager(tmp_path, free_port)
    yield made
    made.listener.close()


@pytest.mark.parametrize("role", ["receive", "keep", "web", "work"])
def test_a_role_is_ready_alive_and_stopping(manager: Manager, role: str) -> None:
    argv = [sys.executable, "-m", "dicomnode", role]
    with manager.running(argv) as process:
        assert manager.heard() == "READY=1"
        assert manager.heard() == "WATCHDOG=1"
        process.send_signal(signal.SIGTERM)
        heard = manager.until("STOPPING=1")
        assert set(heard) <= {"WATCHDOG=1", "STOPPING=1"}
        assert process.wait(HANG_SECONDS) == 0


TWO_ROLES = """
from dicomnode import config
from dicomnode.processes import run

run.ROLES = ("keep", "receive")
run.main(config.load())
"""


def test_the_supervised_node_is_ready_when_it_receives(manager: Manager) -> None:
    with manager.running([sys.executable, "-c", TWO_ROLES]) as process:
        # The supervisor is alive before; that the node is ready the receiver says.
        assert "WATCHDOG=1" in manager.until("READY=1")
        process.send_signal(signal.SIGTERM)
        assert manager.until("STOPPING=1").count("STOPPING=1") == 1
        assert process.wait(HANG_SECONDS) == 0
    assert '"receiver.ready"' in (manager.folder / "role.log").read_text()


STUCK_CHORE = """
from threading import Event
from dicomnode import config
from dicomnode.processes import keep
from dicomnode.router import Router

keep.HANGS_SECONDS = 2
Router.run_once = lambda self: Event().wait()
keep.main(config.load())
"""


def test_a_role_whose_loop_hangs_ends_and_says_where(manager: Manager) -> None:
    with manager.running([sys.executable, "-c", STUCK_CHORE]) as process:
        assert manager.heard() == "READY=1"
        assert process.wait(HANG_SECONDS) == 1
    log = (manager.folder / "role.log").read_text()
    assert '"role.hangs"' in log
    # Where each thread was.
    assert "run_once" in log or "<lambda>" in log


STUCK_MAIN = """
import sys
from threading import Event
from dicomnode import config
from dicomnode.processes import keep, role

looks = iter(range(3))

def look(_worklist):
    if next(looks) == 2:
        print("stuck", flush=True)
        Event().wait()
    return True

from dicomnode.worklist import Worklist
Worklist.is_sound = property(look)
keep.main(config.load())
"""


def test_a_hung_main_loop_is_heard_of_no_more(manager: Manager) -> None:
    with manager.running([sys.executable, "-c", STUCK_MAIN]) as process:
        assert [manager.heard() for _ in range(3)] == ["READY=1", *["WATCHDOG=1"] * 2]
        # Three times as long as between two of its looks: its other threads live on.
        manager.listener.settimeout(3)
        with pytest.raises(TimeoutError):
            manager.heard()
        assert process.poll() is None
    assert "stuck" in (manager.folder / "role.log").read_text()


def test_the_watchdog_of_another_process_is_not_ours(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(manager.path))
    monkeypatch.setenv("WATCHDOG_USEC", "1000000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    service.alive()
    service.ready()
    assert manager.heard() == "READY=1"


def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        name = f"dicomnode-test-{os.getpid()}"
        listener.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        service.ready()
        assert listener.recv(100) == b"READY=1"


def test_nobody_to_tell_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    service.ready()
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/socket")
    service.ready()


def test_only_what_has_turned_once_can_hang() -> None:
    now = [0.0]
    pulse = Pulse(10, lambda: now[0])
    now[0] = 100.0
    assert pulse.hanging() == []
    pulse.beat("PACS")
    now[0] = 109.0
    pulse.beat("SELF")
    assert pulse.hanging() == []
    now[0] = 111.0
    assert pulse.hanging() == ["PACS"]
