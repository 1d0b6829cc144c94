"""What the demonstration starts, ends with it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dicomnode.demo import program
from dicomnode.demo.failure import DemoFailed
from dicomnode.demo.program import Program, wait_until

_READY = "import sys; print('ready', flush=True); "
_STUBBORN = (
    "import os, signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
    "print('ready', child.pid, flush=True)\n"
    "time.sleep(600)\n"
)


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def _start(code: str, folder: Path) -> Program:
    return Program("it", [sys.executable, "-c", code], folder / "it.log")


def test_it_ends_with_its_context(folder: Path) -> None:
    with _start(_READY + "import time; time.sleep(600)", folder) as it:
        assert wait_until(lambda: "ready" in it.tail(), it.check, 30)
        assert not it.ended()
    assert it.ended()


def test_a_stubborn_one_and_its_children_are_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "_GRACE_SECONDS", 0.1)
    with _start(_STUBBORN, folder) as it:
        assert wait_until(lambda: "ready" in it.tail(), it.check, 30)
        child = int(it.tail().split()[1])
        assert _runs(child)
    assert it.ended()
    assert wait_until(lambda: not _runs(child), lambda: None, 30)


def test_one_that_ends_by_itself_is_told_with_its_log(folder: Path) -> None:
    failing = _start("print('no such bundle'); raise SystemExit(1)", folder)
    with failing, pytest.raises(DemoFailed, match="no such bundle"):
        wait_until(lambda: False, failing.check, 30)


def test_it_gets_the_environment_it_is_given(folder: Path) -> None:
    environment = {**os.environ, "GREETING": "hello"}
    code = "import os; print(os.environ['GREETING'])"
    command = [sys.executable, "-c", code]
    with Program("it", command, folder / "it.log", environment) as it:
        assert wait_until(it.ended, lambda: None, 30)
    assert "hello" in it.tail()
