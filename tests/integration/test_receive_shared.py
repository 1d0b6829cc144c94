"""Several receiver processes on one port: all work, one dies, limits hold for all."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dicomnode.demo.program import Program, wait_until
from dicomnode.errors import ConfigError
from dicomnode.processes.receivers import reserved
from dicomnode.worklist import Worklist, open_worklist
from tests.bench.ingest.images import files, template
from tests.integration.receiving import associated
from tests.integration.rig import HANG_SECONDS, leftovers, storescu

N_PROCESSES, MOST_ASSOCIATIONS = 2, 6
CONFIG = f"""
[[peer]]
ae_title = "MODALITY"
hosts = ["127.0.0.1"]

[node]
data_dir = "var"

[store]
watermark_percent = 100

[receiver]
host = "127.0.0.1"
port = 0
processes = {N_PROCESSES}
max_associations = {MOST_ASSOCIATIONS}
"""
MANY_TRIES = 100


class Receivers:
    """`dicomnode receive` with several processes, in a folder of its own."""

    def __init__(self, folder: Path, of_receiver: str = "") -> None:
        """``of_receiver``: more keys of [receiver], and its tables."""
        self.folder = folder
        self.log = folder / "receive.log"
        (folder / "config.toml").write_text(CONFIG + of_receiver)

    @contextmanager
    def running(self) -> Iterator[Program]:
        argv = [sys.executable, "-m", "dicomnode", "receive"]
        argv += ["--config", str(self.folder / "config.toml")]
        with Program("receivers", argv, self.log) as program:
            self.program = program
            self.wait(lambda: len(self.said("receiver.ready")) == N_PROCESSES)
            yield program
        self.wait_for(lambda: not leftovers(self.folder))

    @property
    def port(self) -> int:
        return int(self.said("receiver.ready")[0]["port"])

    def said(self, event: str) -> list[dict]:
        """The lines of the log for one event."""
        lines = self.log.read_text().split("\n")[:-1]
        return [one for one in map(json.loads, lines) if one["event"] == event]

    def wait(self, ready) -> None:
        assert wait_until(ready, self.program.check, HANG_SECONDS), self.program.tail()

    def wait_for(self, ready) -> None:
        assert wait_until(ready, lambda: None, HANG_SECONDS)

    def pids(self) -> set[int]:
        """Of those that have said they are ready and still run."""
        alive = {pid for pid, _ in leftovers(self.folder)}
        return alive & {one["pid"] for one in self.said("receiver.ready")}

    def pids_with_work(self) -> set[int]:
        return {one["pid"] for one in self.said("receiver.c_store")}

    @contextmanager
    def worklist(self) -> Iterator[Worklist]:
        with open_worklist(f"sqlite:///{self.folder / 'var' / 'worklist.db'}") as one:
            yield one


@pytest.fixture
def receivers(tmp_path: Path) -> Iterator[Receivers]:
    made = Receivers(tmp_path)
    with made.running():
        yield made


def images(folder: Path, first: int, n: int) -> list[Path]:
    return files(template("MR"), folder / f"sent-{first}", range(first, first + n), n)


@pytest.mark.peer
def test_all_processes_work_and_stop_when_asked(
    receivers: Receivers, require_command
) -> None:
    require_command("storescu")
    paths = images(receivers.folder, 1000, MANY_TRIES)
    for path in paths:
        sent = storescu(receivers.port, [path])
        assert sent.returncode == 0, sent.stderr
        if len(receivers.pids_with_work()) == N_PROCESSES:
            break
    assert receivers.pids_with_work() == receivers.pids()
    program = receivers.program._process
    program.send_signal(signal.SIGTERM)
    assert program.wait(HANG_SECONDS) == 0
    receivers.wait_for(lambda: not leftovers(receivers.folder))
    assert len(receivers.said("role.stopped")) == N_PROCESSES + 1
    n_stored = len(receivers.said("receiver.c_store"))
    with receivers.worklist() as worklist:
        assert worklist.views.worklist()[0]["n_instances"] == n_stored
        assert len(worklist.views.associations()) == n_stored


@pytest.mark.peer
def test_one_is_killed_under_load_and_nothing_is_lost(
    receivers: Receivers, require_command
) -> None:
    require_command("storescu")
    batches = [images(receivers.folder, 1000 * n, 40) for n in range(1, 5)]
    [victim, survivor] = sorted(receivers.pids())

    def send_until_done(paths: list[Path]) -> None:
        for _ in range(MANY_TRIES):
            if storescu(receivers.port, paths).returncode == 0:
                return
        raise AssertionError("it was never taken")

    with ThreadPoolExecutor() as pool:
        sending = [pool.submit(send_until_done, batch) for batch in batches]
        receivers.wait(lambda: bool(receivers.said("receiver.c_store")))
        os.kill(victim, signal.SIGKILL)
        for one in sending:
            one.result(HANG_SECONDS)
    # The victim may be there for a moment yet.
    receivers.wait(lambda: len(receivers.pids() - {victim}) == N_PROCESSES)
    assert survivor in receivers.pids()
    [ended] = receivers.said("supervisor.role_ended")
    assert ended["returncode"] == -signal.SIGKILL
    with receivers.worklist() as worklist:
        rows = worklist.views.worklist()
        assert [row["n_instances"] for row in rows] == [40] * 4
        kept = [
            receivers.folder / "var" / "instances" / one.location
            for row in rows
            for one in worklist.studies.instances(row["study_instance_uid"])
        ]
    # What was not answered was sent again; what was is there, whole, once.
    answered = {one["sop_instance_uid"] for one in receivers.said("receiver.c_store")}
    assert len(answered) == len(kept) == 160
    size = len(template("MR").data_set)
    assert all(path.stat().st_size > size for path in kept)


def test_the_limit_of_associations_holds_for_all_processes_together(
    receivers: Receivers,
) -> None:
    with ExitStack() as held:
        inside = []
        for _ in range(MOST_ASSOCIATIONS):
            one = held.enter_context(associated(receivers.port, held=False))
            assert one.is_established
            inside.append(one)
        for _ in range(N_PROCESSES * 4):
            with associated(receivers.port, held=False) as refused:
                assert refused.is_rejected
        inside.pop().release()
        receivers.wait(lambda: admits(receivers.port))
        # Whoever was inside by a process that dies does not count any more.
        for pid in receivers.pids():
            os.kill(pid, signal.SIGKILL)
        receivers.wait(lambda: len(receivers.said("receiver.ready")) == 2 * N_PROCESSES)
        again = [
            held.enter_context(associated(receivers.port, held=False))
            for _ in range(MOST_ASSOCIATIONS)
        ]
        assert all(one.is_established for one in again)


def admits(port: int) -> bool:
    with associated(port, held=False) as one:
        return one.is_established


def test_two_nodes_do_not_share_a_port_unawares(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"),
            reserved("127.0.0.1", port),
        ):
            pass


def test_the_parent_is_small(tmp_path: Path) -> None:
    program = (
        "import sys, dicomnode.processes.receivers; "
        "sys.exit(bool({'torch', 'sqlalchemy', 'pynetdicom'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=HANG_SECONDS)
