"""The receivers that are compared, each as the process that a site would run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dicomnode.demo.orthanc import Modality, Orthanc, executable
from dicomnode.demo.program import free_port
from tests.bench.ingest import ours
from tests.bench.ingest.native import Tools
from tests.bench.ingest.ours import CALLED, CALLING

_NO_DELAY = {"TCP_NODELAY": "1"}


@dataclass(frozen=True, slots=True)
class Running:
    """A receiver that listens; ``pid`` of its first process."""

    port: int
    pid: int


@dataclass(frozen=True, slots=True)
class Receiver:
    """One row of the table.

    ``durable``: what it has done when it says Success. ``share``: of the images of a
    workload, for those that would take minutes over all of them.
    """

    name: str
    durable: str
    kind: str
    options: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    share: float = 1.0
    can_sync: bool = True

    def durability(self, sync: bool) -> str:
        """What it has done when it says Success."""
        return self.durable if sync and self.can_sync else "nothing synced"

    def is_there(self) -> bool:
        """Whether its program is installed."""
        if self.kind == "orthanc":
            return executable() is not None
        return self.kind != "storescp" or shutil.which("storescp") is not None

    @contextmanager
    def running(self, folder: Path, tools: Tools, sync: bool) -> Iterator[Running]:
        """Started in ``folder``, and ended."""
        folder.mkdir(parents=True)
        if self.kind == "orthanc":
            with self._orthanc(folder, sync) as running:
                yield running
            return
        port = free_port()
        argv = self._argv(folder, tools, port, sync)
        environment = {**os.environ, **dict(self.environment)}
        if self.kind == "dicomnode" and not sync:
            # It has no switch for this, so it is done to it.
            environment["LD_PRELOAD"] = tools.nosync
        log = folder / "receiver.log"
        with ours.listening(self.name, argv, log, port, environment) as program:
            yield Running(port, ours.pid_of(program))

    def _argv(self, folder: Path, tools: Tools, port: int, sync: bool) -> Sequence[str]:
        files = folder / "files"
        files.mkdir()
        if self.kind == "dicomnode":
            config = ours.configured(folder, port, int(self.options[0]))
            return ours.command("receive", config)
        if self.kind == "storescp":
            options = ["-aet", CALLED, "-od", str(files), *self.options]
            return ["storescp", *options, str(port)]
        words = [str(port), str(files), "1" if sync else "0"]
        if self.kind == "sink":
            return [*tools.sink, *words]
        return [sys.executable, "-m", "tests.bench.ingest.stock", *words]

    @contextmanager
    def _orthanc(self, folder: Path, sync: bool) -> Iterator[Running]:
        settings = {"SyncStorageArea": sync}
        modalities = {"bench": Modality(CALLING, 1)}
        made = Orthanc(folder, modalities, ae_title=CALLED, settings=settings)
        with ExitStack() as running:
            with changed_environment(dict(self.environment)):
                running.enter_context(made)
            [pid] = _pids_of(str(folder / "orthanc.json"))
            yield Running(made.port, pid)


def _pids_of(word: str) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words:
            found.append(int(entry.name))
    return found


@contextmanager
def changed_environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for a program that takes ours."""
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


_OURS = "file and folder synced, row committed (WAL FULL)"
_ORTHANC = "file synced, folder and database not"
RECEIVERS = (
    Receiver("dicomnode", _OURS, "dicomnode", ("1",)),
    Receiver("dicomnode x2", _OURS, "dicomnode", ("2",)),
    Receiver("sink", "file synced, no row", "sink"),
    Receiver(
        "storescp --fork -B, NODELAY",
        "nothing synced",
        "storescp",
        ("--fork", "-B"),
        tuple(_NO_DELAY.items()),
        can_sync=False,
    ),
    Receiver(
        "storescp, NODELAY",
        "nothing synced",
        "storescp",
        environment=tuple(_NO_DELAY.items()),
        can_sync=False,
    ),
    Receiver("storescp", "nothing synced", "storescp", share=0.1, can_sync=False),
    Receiver(
        "Orthanc, NODELAY",
        _ORTHANC,
        "orthanc",
        environment=tuple(_NO_DELAY.items()),
        share=0.5,
    ),
    Receiver("Orthanc", _ORTHANC, "orthanc", share=0.1),
    Receiver("pynetdicom", "file synced, row committed (WAL FULL)", "stock", share=0.5),
)
BY_NAME = {one.name: one for one in RECEIVERS}
