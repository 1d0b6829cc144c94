"""The receiver as a process of its own: it starts, tells its port, stores, ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dicomnode.worklist import open_worklist
from tests.integration.receiving import Sample, associated, status
from tests.integration.test_receive import made

HANG_SECONDS = 120
"""A hung test must end; nothing is asserted about speed."""

CONFIG = """
[node]
data_dir = "var"

[receiver]
host = "127.0.0.1"
port = 0

[[peer]]
ae_title = "MODALITY"
hosts = ["127.0.0.1"]
"""


@contextmanager
def receiver(folder: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process and its port, ended by its PID at the latest here."""
    config = folder / "config.toml"
    config.write_text(CONFIG)
    process = subprocess.Popen(
        [sys.executable, "-m", "dicomnode", "receive", "--config", str(config)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    try:
        yield process, _port(process)
    finally:
        process.kill()
        process.communicate()


def _port(process: subprocess.Popen[str]) -> int:
    assert process.stdout
    for line in process.stdout:
        said = json.loads(line)
        if said["event"] == "receiver.ready":
            return int(said["port"])
    raise AssertionError(f"ended with {process.wait()} before it was ready")


def store(port: int, one: Sample) -> int | None:
    with associated(port, [one.context]) as association:
        return status(association, one)


def test_what_was_answered_is_on_disk_and_in_the_worklist(tmp_path: Path) -> None:
    one = made()
    with receiver(tmp_path) as (process, port):
        assert store(port, one) == 0
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=HANG_SECONDS)
        assert process.returncode == 0, said
    worklist = open_worklist(f"sqlite:///{tmp_path / 'var' / 'worklist.db'}")
    (instance,) = worklist.studies.instances("1.2.3.4")
    worklist.close()
    whole = (tmp_path / "var" / "instances" / instance.location).read_bytes()
    assert whole.endswith(one.data_set)
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert events.count("receiver.c_store") == 1
    assert not any(name in said for name in ("Müller", "4711", "dropped"))


def test_killed_after_the_answer_nothing_is_lost(tmp_path: Path) -> None:
    one = made()
    with receiver(tmp_path) as (process, port):
        assert store(port, one) == 0
        process.kill()
        process.wait(HANG_SECONDS)
    with receiver(tmp_path) as (_process, port):
        assert store(port, one) == 0
    worklist = open_worklist(f"sqlite:///{tmp_path / 'var' / 'worklist.db'}")
    assert len(worklist.studies.instances("1.2.3.4")) == 1
    worklist.close()
    assert len(list((tmp_path / "var" / "instances").rglob("*.dcm"))) == 1


def test_torch_is_not_imported() -> None:
    program = (
        "import sys, dicomnode.processes.receive; "
        "sys.exit('torch' in sys.modules or 'model' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=HANG_SECONDS)
