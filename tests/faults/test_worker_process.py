"""Faults 27, 28, 33, 36 and 37: real worker processes that are killed or hang."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.batching import Batcher
from dicomnode.config import load
from dicomnode.decoder import InThisProcess
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from dicomnode.demo.program import wait_until
from dicomnode.domain.instance import Identity, InstanceKey, ReceivedInstance
from dicomnode.domain.job import Job, NewJob, Outcome, job_id_of
from dicomnode.errors import LostLease
from dicomnode.processes import storing
from dicomnode.processes.work import _pipelines
from dicomnode.worklist import Worklist, open_worklist, upgrade
from model.phantom import chest
from tests.contract.worklist.making import current

HANG_SECONDS = 300
CONFIG = """
[node]
data_dir = "var"
[[pipeline]]
name = "cxr-qc"
bundle = "cxr-qc"
match = {{ Modality = ["DX"] }}
destinations = ["PACS"]
[[destination]]
name = "PACS"
ae_title = "PACS"
host = "127.0.0.1"
port = 104
[worker]
device = "{device}"
threads = 1
decoders = 1
poll_seconds = 0.05
heartbeat_seconds = 0.2
lease_seconds = 1
timeout_seconds = {timeout_seconds}
retry_seconds = [0.1, 0.1, 0.1]
[telemetry]
log_format = "json"
"""


@dataclass
class Site:
    """A node's folder with studies to analyse, and worker processes on it."""

    folder: Path
    worklist: Worklist
    jobs: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    def with_study(self, number: int) -> str:
        """A study that is received, complete and routed; its UID."""
        order = Order(number, "PHANTOM^FAULT", "O", datetime(2026, 3, 29, tzinfo=UTC))
        exposure = Exposure(chest(number, view="PA", rows=300, columns=250))
        ds = digital_radiograph(order, exposure)
        self.receive(ds, number)
        study = str(ds.StudyInstanceUID)
        now = datetime.now(UTC)
        arrived = current(self.worklist, study)
        assert self.worklist.studies.complete(arrived, now)
        self.jobs.append(self.route(study))
        return study

    def receive(self, ds, number: int) -> None:
        """As the receiver does: the file in the store, the row in the worklist."""
        config = load(self.config)
        content = encoded(ds, ExplicitVRLittleEndian)
        key = InstanceKey(
            ds.StudyInstanceUID,
            ds.SeriesInstanceUID,
            ds.SOPInstanceUID,
            ds.SOPClassUID,
            ExplicitVRLittleEndian,
        )
        meta = int.from_bytes(content[140:144], "little")
        stored = storing.open_store(config).put(key, [content[144 + meta :]])
        attributes = {n: str(ds[n].value) for n in ("Modality", "Rows", "Columns")}
        self.worklist.intake.record(
            ReceivedInstance(
                key=key,
                stored=stored,
                received_at=datetime.now(UTC),
                calling_ae_title="DX1",
                called_ae_title="DICOMNODE",
                address="127.0.0.1",
                attributes=attributes,
                identity=Identity(f"DEMO{number}", "PHANTOM^FAULT", "", "O", ""),
            )
        )

    def route(self, study: str, revision: int = 1) -> str:
        job_id = job_id_of(study, revision, "cxr-qc")
        job = NewJob(job_id, study, revision, "cxr-qc")
        arrived = current(self.worklist, study)
        assert self.worklist.studies.route(arrived, [job], "", datetime.now(UTC))
        return job_id

    def worker(self, fault: str = "none") -> subprocess.Popen[bytes]:
        """A worker process in this folder, by default without a fault."""
        argv = [sys.executable, "-m", "tests.faults.faulty_worker", fault]
        log = (self.folder / f"{fault}.log").open("wb")
        root = Path(__file__).resolve().parents[2]
        environ = {**os.environ, "OMP_NUM_THREADS": "1"}
        with log:
            return subprocess.Popen(
                [*argv, str(self.config)], stdout=log, stderr=log, cwd=root, env=environ
            )

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker without a fault, until the end."""
        process = self.worker()
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANG_SECONDS) == 0

    def ended(self, fault: str) -> int:
        """The return code of a worker whose fault ends it."""
        process = self.worker(fault)
        try:
            return process.wait(HANG_SECONDS)
        finally:
            process.kill()

    def states(self) -> dict[str, str]:
        return {
            one["job_id"]: one["job_state"] for one in self.worklist.views.worklist()
        }

    def wait(self, ready) -> None:
        assert wait_until(ready, lambda: None, HANG_SECONDS), self.states()

    def reaped(self, max_attempts: int = 99) -> bool:
        """Housekeeping: whether the lease of a dead worker has ended."""
        return self.worklist.upkeep.reap(datetime.now(UTC), max_attempts) > 0

    def results(self, job_id: str) -> list[str]:
        """SOP Instance UIDs of what is to be delivered, each as often as it is."""
        found = self.worklist.views.deliveries(job_id)
        assert {one["state"] for one in found} <= {"PENDING"}
        return sorted(one["sop_instance_uid"] for one in found)

    def pipeline(self):
        """The configured pipeline, in this process."""
        batcher = Batcher(1, 0)
        served = _pipelines(load(self.config), "cpu", InThisProcess(), batcher)
        return dict(served)["cxr-qc"]

    def claimed(self, worker: str) -> Job:
        now = datetime.now(UTC)
        (job,) = self.worklist.jobs.claim(worker, ["cxr-qc"], now, 0.01)
        return job


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with a_site(tmp_path, timeout_seconds=0) as made:
        yield made


@contextmanager
def a_site(
    folder: Path, *, device: str = "cpu", timeout_seconds: float
) -> Iterator[Site]:
    (folder / "config.toml").write_text(
        CONFIG.format(device=device, timeout_seconds=timeout_seconds)
    )
    (folder / "var").mkdir()
    url = load(folder / "config.toml").worklist_url
    upgrade(url)
    worklist = open_worklist(url)
    try:
        yield Site(folder, worklist)
    finally:
        worklist.close()


# 27: killed in mid-job, at commit, after commit


def test_27_a_job_whose_worker_is_killed_is_done_once_with_the_same_results(
    site: Site,
) -> None:
    faults = ("killed in mid-job", "killed before commit", "killed after commit")
    for number, fault in enumerate(faults):
        site.with_study(number)
        assert site.ended(fault) == -signal.SIGKILL
    before = [site.states()[one] for one in site.jobs]
    assert before == ["IN_PROGRESS", "IN_PROGRESS", "COMPLETED"]
    given_back = 0
    while given_back < 2:
        given_back += site.worklist.upkeep.reap(datetime.now(UTC), 99)
    with site.working():
        site.wait(lambda: set(site.states().values()) == {"COMPLETED"})
    pipeline = site.pipeline()
    for number, row in enumerate(site.worklist.views.worklist()):
        assert row["outcome"] == "ANALYSED", number
        job = replace(
            A_JOB,
            job_id=row["job_id"],
            study_instance_uid=row["study_instance_uid"],
            scheduled_at=datetime.fromisoformat(scheduled_at(site, row["job_id"])),
        )
        again = pipeline.analyse(
            job, site.worklist.jobs.instances(job.study_instance_uid)
        )
        uids = sorted(one.sop_instance_uid for one in again.results)
        assert site.results(row["job_id"]) == uids


A_JOB = Job("", "", 1, "cxr-qc", 0, 1, "w", datetime.now(UTC), datetime.now(UTC))


def scheduled_at(site: Site, job_id: str) -> str:
    (found,) = [
        one["at"]
        for one in site.worklist.views.events(limit=1000)
        if one["job_id"] == job_id and one["kind"] == "job schedule"
    ]
    return str(found)


# 28: the model hangs, with and without the interpreter


def test_28_a_hung_model_ends_its_worker_and_the_job_is_tried_again(
    tmp_path: Path,
) -> None:
    with a_site(tmp_path, timeout_seconds=1.5) as site:
        site.with_study(1)
        assert site.ended("sleeps") == 1
        (row,) = site.worklist.views.worklist()
        assert (row["job_state"], row["attempts"]) == ("SCHEDULED", 1)
        assert "no answer within 1.5 seconds" in row["error"]
        assert [one["state"] for one in site.worklist.views.workers()] == ["HANGS"]


def test_28_native_code_that_holds_the_interpreter_ends_its_worker_too(
    site: Site,
) -> None:
    study = site.with_study(1)
    assert site.ended("holds the interpreter") == 1
    site.wait(lambda: site.reaped(max_attempts=1))
    (row,) = site.worklist.views.worklist()
    assert (row["job_state"], site.results(row["job_id"])) == ("FAILED", [])
    with site.working():
        site.wait(lambda: site.results(row["job_id"]) != [])
    assert site.states() == {row["job_id"]: "FAILED"}
    kept = sorted((site.folder / "var" / "results").rglob("*.dcm"))
    assert {str(dcmread(one).StudyInstanceUID) for one in kept} == {study}
    assert any(b"ended the worker each time" in one.read_bytes() for one in kept)


# 33: the configured GPU is not there


def test_33_a_worker_without_its_gpu_claims_nothing_and_says_so(tmp_path: Path) -> None:
    with a_site(tmp_path, device="cuda", timeout_seconds=0) as site:
        site.with_study(1)
        process = site.worker()
        site.wait(lambda: site.worklist.views.workers() != [])
        (row,) = site.worklist.views.workers()
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_SECONDS) == 0
        assert (row["state"], row["device"]) == ("NO_DEVICE", "cuda")
        assert set(site.states().values()) == {"SCHEDULED"}


# 36: two workers have the same job; the lease is lost while working


def test_36_the_one_whose_lease_was_lost_cannot_finish(site: Site) -> None:
    study = site.with_study(1)
    pipeline, instances = site.pipeline(), site.worklist.jobs.instances(study)
    slow = site.claimed("slow")
    analysis = pipeline.analyse(slow, instances)
    site.wait(site.reaped)
    quick = site.claimed("quick")
    finish = site.worklist.jobs.finish
    now = datetime.now(UTC)
    finish(quick, Outcome.ANALYSED, "", pipeline.analyse(quick, instances).results, now)
    with pytest.raises(LostLease):
        finish(slow, Outcome.ANALYSED, "", analysis.results, now)
    with pytest.raises(LostLease):
        site.worklist.jobs.fail(slow, "no", None, now, analysis.results)
    uids = site.results(slow.job_id)
    assert uids == sorted(one.sop_instance_uid for one in analysis.results)


# 37: an image comes late


def test_37_an_image_that_comes_while_the_job_runs_gets_the_study_a_new_report(
    site: Site,
) -> None:
    study = site.with_study(1)
    pipeline, jobs = site.pipeline(), site.worklist.jobs
    first = site.claimed("w1")
    analysis = pipeline.analyse(first, jobs.instances(study))
    late(site, 1)
    now = datetime.now(UTC)
    jobs.finish(first, Outcome.ANALYSED, "", analysis.results, now)
    assert site.worklist.studies.complete(current(site.worklist, study), now)
    second_id = site.route(study, revision=2)
    second = site.claimed("w2")
    again = pipeline.analyse(
        second, jobs.instances(study), lambda: jobs.earlier_results(second)
    )
    jobs.finish(second, Outcome.ANALYSED, "", again.results, now)
    states = {one["state"] for one in site.worklist.views.deliveries(first.job_id)}
    assert states == {"CANCELED"}, "the first report is not sent any more"
    assert site.results(second_id) == sorted(r.sop_instance_uid for r in again.results)


def late(site: Site, number: int) -> None:
    """One image more of the study."""
    order = Order(number, "PHANTOM^FAULT", "O", datetime(2026, 3, 29, tzinfo=UTC))
    exposure = Exposure(chest(number + 50, view="AP", rows=300, columns=250), view="AP")
    site.receive(digital_radiograph(order, exposure, number=2), number)
