"""An archive of phantoms in a real Orthanc, and a node that takes them back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.assembler import Assembler
from dicomnode.delivery.query_scu import QueryScu
from dicomnode.delivery.storage_scu import Peer as Called
from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from dicomnode.demo.program import Program, free_port
from dicomnode.domain.completion import CompletionPolicy
from dicomnode.domain.job import Job, Outcome
from dicomnode.domain.rules import Rule
from dicomnode.processes.clock import SystemClock
from dicomnode.receiver.peers import Peer
from dicomnode.receiver.scp import StorageSCP
from dicomnode.router import Router
from dicomnode.store import LocalStore
from dicomnode.worklist import open_worklist, upgrade
from tests.integration.receiving import settings

EXPLICIT = ExplicitVRLittleEndian
ARCHIVE_PEER = Peer("ORTHANC", ("127.0.0.1",))
MODALITY = Peer("MODALITY", ("127.0.0.1",))
_CONFIG = """
[node]
data_dir = "var"
[[peer]]
ae_title = "ORTHANC"
hosts = ["127.0.0.1"]
[[destination]]
name = "ARCHIVE"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {port}
timeout_seconds = 20
[backfill]
studies_in_flight = {in_flight}
[store]
watermark_percent = 100
"""


class Together:
    """Our receiver and worklist, and an Orthanc that holds what it may send us."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.archive_port = free_port()
        (folder / "var").mkdir()
        url = f"sqlite:///{folder / 'var' / 'worklist.db'}"
        upgrade(url)
        self.worklist = open_worklist(url)
        self.instances = LocalStore(folder / "var" / "instances", 100)
        clock = SystemClock()
        self._assembler = Assembler(
            self.worklist.studies, CompletionPolicy(quiet_seconds=3600), clock
        )
        self._router = Router(self.worklist.studies, [Rule("cxr", {})], clock)
        self.n_analysed = 0
        self._archive = ExitStack()

    @contextmanager
    def receiving(self) -> Iterator[StorageSCP]:
        how = replace(settings(), peers=(ARCHIVE_PEER, MODALITY))
        clock, intake = SystemClock(), self.worklist.intake
        scp = StorageSCP(how, self.instances, intake, clock)
        scp.start()
        self.port = scp.port
        try:
            yield scp
        finally:
            scp.stop(10)
            self._archive.close()
            self.worklist.close()

    def open_archive(self, ae_title: str = "DICOMNODE") -> Orthanc:
        """Start it, or start it again on what it has."""
        self.orthanc = self._archive.enter_context(
            Orthanc(
                self.folder / "orthanc",
                {"node": Modality(ae_title, self.port)},
                settings={"DicomPort": self.archive_port, "DicomAlwaysAllowMove": True,
                          "DicomAlwaysAllowFind": True},
            )
        )  # fmt: skip
        return self.orthanc

    def close_archive(self) -> None:
        self._archive.close()
        self._archive = ExitStack()

    def fill(self, number: int, n_instances: int = 1) -> list[str]:
        """Phantom studies into the archive; their UIDs."""
        uids = []
        for which in range(number):
            order = Order(which, f"PHANTOM^NO{which}", "O", datetime.now(UTC))
            pixels = np.full((16, 16), which, np.uint16)
            for one in range(n_instances):
                ds = digital_radiograph(order, Exposure(pixels), one + 1)
                self.orthanc.upload(encoded(ds, EXPLICIT))
            uids.append(str(ds.StudyInstanceUID))
        return uids

    def scu(self) -> QueryScu:
        peer = Called("ORTHANC", "127.0.0.1", self.archive_port, "DICOMNODE", 20)
        return QueryScu(peer, 60)

    def claim(self) -> Sequence[Job]:
        """What a worker would get next, once studies are complete and routed."""
        self._assembler.run_once()
        self._router.run_once()
        now = SystemClock().now()
        return self.worklist.jobs.claim("w1", ["cxr"], now, 60)

    def work(self, most: int = 99) -> list[Job]:
        """What keeper and worker do with all that has come."""
        done: list[Job] = []
        while len(done) < most and (taken := self.claim()):
            for job in taken:
                now = SystemClock().now()
                self.worklist.jobs.finish(job, Outcome.ANALYSED, "", [], now)
                done.append(job)
        self._router.run_once()
        self.n_analysed += len(done)
        return done

    def states(self) -> dict[str, str]:
        """Study -> its state in the newest backfill."""
        with self.worklist._database.read() as connection:
            rows = connection.exec_driver_sql(
                "SELECT study_instance_uid, state FROM v1_backfill_studies"
            )
            return dict(rows.all())

    def row(self) -> dict[str, object]:
        """The newest backfill."""
        return self.worklist.views.backfills()[0]

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._argv(*words), capture_output=True, text=True, env=_environ(),
            cwd=self.folder, timeout=300,
        )  # fmt: skip

    def program(self, *words: str) -> Program:
        log = self.folder / "backfill.log"
        return Program("backfill", self._argv(*words), log, _environ())

    def configure(self, in_flight: int) -> None:
        text = _CONFIG.format(port=self.archive_port, in_flight=in_flight)
        (self.folder / "config.toml").write_text(text)

    def printed(self, *words: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.cli(*words).stdout.splitlines()]

    def _argv(self, *words: str) -> list[str]:
        config = str(self.folder / "config.toml")
        return [sys.executable, "-m", "dicomnode", *words, "--config", config]


def _environ() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1"}
