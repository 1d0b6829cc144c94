"""The receiver as a process of its own, and what it costs."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.faults.raw import HANG_SECONDS

CONFIG = """
[node]
data_dir = "var"

[store]
watermark_percent = 100

[receiver]
host = "127.0.0.1"
port = 0

[[peer]]
ae_title = "MODALITY"
hosts = ["127.0.0.0/8"]
"""


class Receiver:
    """A running receiver: its port and process, and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.said: list[dict[str, Any]] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        ready = self.wait_for("receiver.ready")
        self.port, self.tls_port = int(ready["port"]), ready.get("tls_port")

    @property
    def memory_kib(self) -> int:
        """Pss: what would be free without it."""
        folder = Path("/proc") / str(self._process.pid)
        lines = (folder / "smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))

    @property
    def n_threads(self) -> int:
        return len(list((Path("/proc") / str(self._process.pid) / "task").iterdir()))

    @property
    def n_descriptors(self) -> int:
        return len(list((Path("/proc") / str(self._process.pid) / "fd").iterdir()))

    def limit_descriptors(self, n_descriptors: int) -> None:
        """How many files it may have open from now on."""
        limits = (n_descriptors, n_descriptors)
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, limits)

    def events(self, name: str) -> list[dict[str, Any]]:
        with self._changed:
            return [one for one in self.said if one["event"] == name]

    def wait_for(self, name: str, n: int = 1) -> dict[str, Any]:
        """The ``n``-th line of that name, as soon as it is there."""

        def is_there() -> bool:
            return sum(one["event"] == name for one in self.said) >= n

        with self._changed:
            assert self._changed.wait_for(is_there, HANG_SECONDS), self.said[-20:]
        return self.events(name)[n - 1]

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            if not line.endswith("\n"):
                return  # it was killed in the middle of saying it
            with self._changed:
                self.said.append(json.loads(line))
                self._changed.notify_all()

    def joined(self) -> None:
        """All is read that it has said, once it has ended."""
        self._process.wait()
        self._reader.join()


@contextmanager
def receiver(folder: Path, config: str = CONFIG) -> Iterator[Receiver]:
    """Started in ``folder``, ended by its PID at the latest here."""
    path = folder / "config.toml"
    path.write_text(config)
    process = subprocess.Popen(
        [sys.executable, "-m", "dicomnode", "receive", "--config", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    with ExitStack() as ending:
        if process.stdout:
            ending.callback(process.stdout.close)
        ending.callback(process.wait)
        ending.callback(process.kill)
        started = Receiver(process)
        # Nothing is closed under the hands of its reader.
        ending.callback(started.joined)
        ending.callback(process.kill)
        yield started
