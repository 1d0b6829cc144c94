"""A reload that is passed on to the receivers of one port, and when it is done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicomnode.processes import lock
from dicomnode.processes.receivers import _PassingOn
from dicomnode.processes.supervision import Child, Command

# Says that it has taken the file, as a receiver does, when it is asked to.
RECEIVER = """
import signal, sys, time
from pathlib import Path
from dicomnode.processes import lock
signal.signal(signal.SIGHUP, lambda *_: lock.took(Path(sys.argv[1])))
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
Path(sys.argv[2]).touch()
while True:
    time.sleep(60)
"""


@contextmanager
def running(tmp_path: Path, name: str, program: str) -> Iterator[Child]:
    argv = [sys.executable, "-c", program, str(tmp_path), str(tmp_path / name)]
    environ = {**os.environ, "PYTHONPATH": os.getcwd()}
    child = Child(Command(name, argv, environ), lambda: 0.0)
    child.watch()
    try:
        yield child
    finally:
        child.ask_to_stop()
        child.wait(10)


def until(condition) -> None:
    while not condition():
        subprocess.run(["sleep", "0.05"], check=True)


def test_a_reload_is_done_when_every_receiver_has_taken_it(tmp_path: Path) -> None:
    ours = os.getpid()
    with (
        running(tmp_path, "one", RECEIVER) as one,
        running(tmp_path, "other", RECEIVER) as other,
    ):
        until(lambda: (tmp_path / "one").exists() and (tmp_path / "other").exists())
        passing_on = _PassingOn(tmp_path, [one, other])
        passing_on.turn()
        assert not lock.has_taken(tmp_path, ours)
        passing_on.asked.set()
        until(lambda: passing_on.turn() or lock.has_taken(tmp_path, ours))
        assert one.pid is not None
        assert other.pid is not None
        assert lock.has_taken(tmp_path, one.pid)
        assert lock.has_taken(tmp_path, other.pid)
        lock.ask_anew(tmp_path)
        assert not lock.has_taken(tmp_path, ours)
        gone = one.pid
    assert lock.has_taken(tmp_path, gone), "who starts after it reads the new file"
