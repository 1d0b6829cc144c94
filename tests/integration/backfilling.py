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
from dicomnode.config import Destination
from dicomnode.delivery.dicomweb import Service, WadoClient
from dicomnode.delivery.get_scu import GetScu
from dicomnode.delivery.query_scu import QueryScu
from dicomnode.delivery.storage_scu import Peer as Called
from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from dicomnode.demo.program import Program, free_port
from dicomnode.domain.completion import CompletionPolicy
from dicomnode.domain.job import Job, Outcome
from dicomnode.domain.rules import Rule
from dicomnode.ports import Archive, Intake
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.fetching import ReceiverTaking
from dicomnode.receiver.handlers import StoreHandler
from dicomnode.receiver.peers import Peer
from dicomnode.receiver.requests import Limits
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
[[destination]]
name = "ARCHIVE"
{called}
timeout_seconds = 20
retrieve = "{way}"
dicomweb_url = "{url}"
[backfill]
studies_in_flight = {in_flight}
[store]
watermark_percent = 100
"""
_CALLED = """
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {port}
"""
_SENDS_TO_US = """
[[peer]]
ae_title = "ORTHANC"
hosts = ["127.0.0.1"]
"""
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
WAYS = ("c-move", "c-get", "dicomweb")


class Together:
    """Our receiver and worklist, and an Orthanc whose history comes in by ``way``."""

    def __init__(self, folder: Path, way: str) -> None:
        self.folder = folder
        self.way = way
        self.archive_port, self.http_port = free_port(), free_port()
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
                settings=self._settings(),
            )
        )
        return self.orthanc

    def _settings(self) -> dict[str, object]:
        ports = {"DicomPort": self.archive_port, "HttpPort": self.http_port}
        asked = ("Find", "Move", "Get")
        allowed = {f"DicomAlwaysAllow{what}": True for what in asked}
        plugin = {"Plugins": [str(PLUGIN)], "DicomWeb": {"Enable": True}}
        return {**ports, **allowed, **(plugin if self.way == "dicomweb" else {})}

    @property
    def url(self) -> str:
        """Of the archive's DICOMweb service."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    @property
    def fetched_from(self) -> int:
        """The port of the archive that is asked."""
        return self.http_port if self.way == "dicomweb" else self.archive_port

    def close_archive(self) -> None:
        self._archive.close()
        self._archive = ExitStack()

    def fill(self, number: int, n_instances: int = 1, side: int = 16) -> list[str]:
        """Phantom studies of images of ``side`` pixels into the archive; their UIDs."""
        uids = []
        for which in range(number):
            order = Order(which, f"PHANTOM^NO{which}", "O", datetime.now(UTC))
            pixels = np.full((side, side), which, np.uint16)
            for one in range(n_instances):
                ds = digital_radiograph(order, Exposure(pixels), one + 1)
                self.orthanc.upload(encoded(ds, EXPLICIT))
            uids.append(str(ds.StudyInstanceUID))
        return uids

    def scu(
        self, limits: Limits | None = None, intake: Intake | None = None
    ) -> Archive:
        """The archive; what we fetch goes into ``intake`` and our store."""
        peer = Called("ORTHANC", "127.0.0.1", self.archive_port, "DICOMNODE", 20)
        if self.way == "c-move":
            return QueryScu(peer, 60)
        into = self.taking(limits, intake)
        if self.way == "c-get":
            return GetScu(peer, 60, into)
        service = Service(self.url, connect_seconds=20, silent_seconds=60)
        return WadoClient(service, into, (limits or Limits()).max_instance_bytes)

    def taking(
        self, limits: Limits | None = None, intake: Intake | None = None
    ) -> ReceiverTaking:
        """The receiver's way, in this process."""
        handler = StoreHandler(
            self.instances, intake or self.worklist.intake, SystemClock(), (), limits,
            quarantine=True,
        )  # fmt: skip
        archive = Destination(
            name="ARCHIVE", ae_title="ORTHANC", host="127.0.0.1",
            port=self.archive_port,
        )  # fmt: skip
        return ReceiverTaking(handler, archive, "DICOMNODE")

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

    def configure(self, in_flight: int, through: int = 0) -> None:
        """``through``: a port that leads to the archive's."""
        port, url = through or self.archive_port, self.url
        if through:
            url = url.replace(f":{self.http_port}/", f":{through}/")
        # What is only read by DICOMweb is never called.
        called = "" if self.way == "dicomweb" else _CALLED
        text = _CONFIG.format(
            called=called.format(port=port),
            in_flight=in_flight,
            way=self.way,
            url=url,
        )
        # Nobody sends us what we fetch ourselves, so nobody need be admitted.
        text += _SENDS_TO_US if self.way == "c-move" else ""
        (self.folder / "config.toml").write_text(text)

    def printed(self, *words: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.cli(*words).stdout.splitlines()]

    def _argv(self, *words: str) -> list[str]:
        config = str(self.folder / "config.toml")
        return [sys.executable, "-m", "dicomnode", *words, "--config", config]


def _environ() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1"}
