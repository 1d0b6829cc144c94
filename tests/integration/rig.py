"""A real node on the loopback for tests: its processes, its database, its files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from dicomnode.delivery.storage_scu import Peer
from dicomnode.demo.program import Program, free_port, wait_until
from dicomnode.worklist import open_views, open_worklist, upgrade

HANG_SECONDS = 300
"""A hung test must end; nothing is asserted about speed."""

CONFIG = """
[node]
ae_title = "DICOMNODE"
data_dir = "var"

[store]
watermark_percent = 100  # these tests are not about the disk of the machine

[receiver]
host = "127.0.0.1"
port = {port}

[[peer]]
ae_title = "MODALITY"
hosts = ["127.0.0.1"]

[[peer]]
ae_title = "ORTHANC"
hosts = ["127.0.0.1"]

[study]
quiet_seconds = {quiet_seconds}

[keep]
interval_seconds = 0.2

[[pipeline]]
name = "cxr-qc"
bundle = "cxr-qc"
match = {{ Modality = ["CR", "DX"] }}
results = ["sr", "sc"]
destinations = ["PACS"]

[[destination]]
name = "PACS"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {pacs_port}
timeout_seconds = 10

[worker]
device = "cpu"
threads = 1
lease_seconds = 4
heartbeat_seconds = 1
poll_seconds = 0.1
retry_seconds = [1, 1, 1]
max_attempts = 10

[delivery]
retry_seconds = [1, 1, 1, 1, 1]
poll_seconds = 0.1

[web]
enabled = false
"""


class Node:
    """`dicomnode run` in a folder of its own; started and stopped at will."""

    def __init__(
        self, folder: Path, pacs_port: int, *, port: int = 0, quiet_seconds: float = 1.0
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"sqlite:///{folder / 'var' / 'worklist.db'}"
        self.config = folder / "config.toml"
        folder.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            CONFIG.format(
                port=self.port, pacs_port=pacs_port, quiet_seconds=quiet_seconds
            )
        )
        (folder / "var").mkdir(exist_ok=True)
        upgrade(self.url)
        self.views = open_views(self.url)

    @contextmanager
    def running(self):
        """The supervised node, ready to receive."""
        log = self.folder / "node.log"
        with Program("node", self._argv("run"), log, self._environ()) as program:
            self.program = program
            self.wait(self.echoes, "the receiver to answer")
            yield self
        self.wait_gone()

    def said(self, event: str) -> list[dict]:
        """The whole lines of its log with this event: the last may be half written."""
        text = (self.folder / "node.log").read_text("utf-8", errors="replace")
        lines = [one for one in text.split("\n")[:-1] if one.startswith("{")]
        return [one for one in map(json.loads, lines) if one["event"] == event]

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command of the node."""
        return subprocess.run(
            self._argv(*words),
            capture_output=True,
            text=True,
            env=self._environ(),
            timeout=HANG_SECONDS,
        )

    def echoes(self) -> bool:
        """Whether a C-ECHO is answered."""
        argv = ["echoscu", "-aet", "MODALITY", "-aec", "DICOMNODE", "-to", "2"]
        argv += ["127.0.0.1", str(self.port)]
        return subprocess.run(argv, capture_output=True).returncode == 0

    def wait(self, ready: Callable[[], bool], what: str) -> None:
        """Until ``ready``; fails when the node ends or hangs."""
        if not wait_until(ready, self.program.check, HANG_SECONDS):
            pytest.fail(f"waited in vain for {what}:\n{self.program.tail()}")

    def settle(self, study_instance_uids: Iterable[str]) -> list[dict]:
        """Wait until these studies are done with; their rows of v1_worklist."""
        wanted = set(study_instance_uids)
        self.wait(lambda: self._settled(wanted), f"{len(wanted)} studies to settle")
        return [row for row in self.rows() if row["study_instance_uid"] in wanted]

    def complete(self, study_instance_uid: str) -> None:
        """As an admin does it: a study of many instances, wherever its sender pauses.

        With a long ``quiet_seconds``; a short one may pass in the middle of it.
        """
        with open_worklist(self.url) as worklist:
            worklist.desk.force_complete(study_instance_uid, datetime.now(UTC))

    def events(self, kind: str) -> list[dict]:
        """The events of one kind."""
        return [one for one in self.views.events(limit=100_000) if one["kind"] == kind]

    def rows(self) -> list[dict]:
        """All of v1_worklist."""
        return self.views.worklist()

    def _settled(self, wanted: set[str]) -> bool:
        rows = [r for r in self.rows() if r["study_instance_uid"] in wanted]
        if {row["study_instance_uid"] for row in rows} != wanted:
            return False
        if any(row["study_state"] in ("RECEIVING", "COMPLETE") for row in rows):
            return False
        if any(row["job_state"] in ("SCHEDULED", "IN_PROGRESS") for row in rows):
            return False
        jobs = {row["job_id"] for row in rows}
        pending = [d for d in self.views.deliveries() if d["state"] == "PENDING"]
        return not any(delivery["job_id"] in jobs for delivery in pending)

    def kill(self, role: str, signal_number: int = signal.SIGKILL) -> None:
        """Kill the process of one role, once it is there.

        A child that the supervisor is just starting bears, until it has become the
        program of its role, the supervisor's own command line: so wait for one alone.
        """
        found: list[int] = []

        def alone() -> bool:
            found[:] = self.pids(role)
            return len(found) == 1

        self.wait(alone, f"one {role} to be started")
        os.kill(found[0], signal_number)

    def pids(self, role: str) -> list[int]:
        """The processes of one role; none before the receiver had its head start."""
        return [pid for pid, words in self.processes() if role in words]

    def as_peer(self, calling_ae_title: str) -> Peer:
        """This node as the destination of a C-STORE SCU."""
        return Peer("DICOMNODE", "127.0.0.1", self.port, calling_ae_title)

    def wait_gone(self) -> None:
        """Until no process of this node is left, however it ended.

        One that was killed is there for a moment yet.
        """
        gone = wait_until(lambda: not self.processes(), lambda: None, HANG_SECONDS)
        assert gone, self.processes()

    def processes(self) -> list[tuple[int, list[str]]]:
        """(pid, argv) of every process of this node."""
        return leftovers(self.folder)

    def kept(self) -> dict[str, list[Path]]:
        """SOP Instance UID -> its files in the store."""
        files: dict[str, list[Path]] = {}
        for path in (self.folder / "var" / "instances").rglob("*.dcm"):
            files.setdefault(path.name.rsplit(".", 2)[0], []).append(path)
        return files

    def _argv(self, *words: str) -> list[str]:
        argv = [sys.executable, "-m", "dicomnode", *words]
        return [*argv, "--config", str(self.config)]

    def _environ(self) -> dict[str, str]:
        return {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


def leftovers(folder: Path) -> list[tuple[int, list[str]]]:
    """(pid, argv) of every process that was started with this folder's config."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            raw = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        words = raw.decode(errors="replace").split("\0")
        if str(folder / "config.toml") in words:
            found.append((int(entry.name), words))
    return found


def dcmsend(port: int, paths: Sequence[Path], *options: str, aet: str = "MODALITY"):
    """Send with the real DCMTK dcmsend, as the files are; the finished process."""
    argv = ["dcmsend", "-v", "-aet", aet, "-aec", "DICOMNODE", "--no-uid-checks"]
    argv += ["--no-halt", "--decompress-never", *options, "127.0.0.1", str(port)]
    return finished([*argv, *map(str, paths)])


def storescu(port: int, paths: Sequence[Path], *options: str, aet: str = "MODALITY"):
    """Send with the real DCMTK storescu; the finished process."""
    argv = ["storescu", "-v", "-aet", aet, "-aec", "DICOMNODE", *options]
    return finished([*argv, "127.0.0.1", str(port), *map(str, paths)])


def finished(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; fails the test when it hangs."""
    return subprocess.run(
        argv, capture_output=True, text=True, errors="replace", timeout=HANG_SECONDS
    )


def data_set(path: Path) -> bytes:
    """The encoded data set of a PS3.10 file, without preamble and file meta."""
    with path.open("rb") as file:
        content = file.read()
    meta_length = int.from_bytes(content[140:144], "little")
    return content[144 + meta_length :]


def copy_as(path: Path, target: Path, **changes: str) -> Path:
    """A copy of a file with other attributes, e.g. UIDs of a study of its own."""
    ds = dcmread(path)
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    if "SOPInstanceUID" in changes:
        ds.file_meta.MediaStorageSOPInstanceUID = changes["SOPInstanceUID"]
    ds.save_as(target)
    return target
