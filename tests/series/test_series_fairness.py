"""Long series hold a real worker: images that come meanwhile are done first."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from shutil import copytree

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.config import load
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from dicomnode.domain.instance import Identity, InstanceKey, ReceivedInstance
from dicomnode.domain.job import NewJob, job_id_of
from dicomnode.processes import storing
from model.phantom import chest
from model.phantom_ct import scan
from tests.contract.worklist.making import current
from tests.faults.test_worker_process import Site, a_site
from tests.series import ct

CT_PIPELINE = """
[[pipeline]]
name = "ct-nodule"
bundle = "ct-nodule"
match = { Modality = "CT" }
destinations = ["PACS"]
"""
N_FRAMES = 900
N_SERIES = 4
STAT = 2000


@pytest.fixture
def site(tmp_path, ct_bundle):
    with a_site(tmp_path, timeout_seconds=0) as made:
        with made.config.open("a") as config:
            config.write(CT_PIPELINE)
        copytree(ct_bundle, tmp_path / "var" / "bundles" / "ct-nodule")
        yield made


def limited(site: Site, series_jobs: int) -> None:
    """As many series at once as the test wants."""
    text = site.config.read_text()
    wish = f"[worker]\nseries_jobs = {series_jobs}\n"
    site.config.write_text(text.replace("[worker]\n", wish))


def arrived(site: Site, ds, pipeline: str, priority: int) -> str:
    """A study of one object: received, complete and routed; the job's id."""
    key = InstanceKey(
        ds.StudyInstanceUID,
        ds.SeriesInstanceUID,
        ds.SOPInstanceUID,
        ds.SOPClassUID,
        ExplicitVRLittleEndian,
    )
    content = encoded(ds, ExplicitVRLittleEndian)
    meta = int.from_bytes(content[140:144], "little")
    stored = storing.open_store(load(site.config)).put(key, [content[144 + meta :]])
    names = ("Modality", "Rows", "Columns", "NumberOfFrames", "SeriesNumber")
    attributes = {name: str(ds[name].value) for name in names if name in ds}
    now = datetime.now(UTC)
    site.worklist.intake.record(
        ReceivedInstance(
            key=key,
            stored=stored,
            received_at=now,
            calling_ae_title="CT1",
            called_ae_title="DICOMNODE",
            address="127.0.0.1",
            attributes=attributes,
            identity=Identity("DEMO", "PHANTOM^FAIR", "", "O", ""),
        )
    )
    study = str(ds.StudyInstanceUID)
    assert site.worklist.studies.complete(current(site.worklist, study), now)
    job = NewJob(job_id_of(study, 1, pipeline), study, 1, pipeline, priority)
    assert site.worklist.studies.route(current(site.worklist, study), [job], "", now)
    return job.job_id


def with_series(site: Site, n_series: int, priority: int) -> list[str]:
    """Long CT studies, one enhanced object each."""
    found = scan(3, lesion=True, size=ct.PIXELS, n_slices=N_FRAMES, spacing_mm=1)
    ds = ct.enhanced(found)
    jobs = []
    for number in range(n_series):
        ds.StudyInstanceUID = f"{ct.STUDY}.{number}"
        ds.SeriesInstanceUID = f"{ct.STUDY}.{number}.1"
        ds.SOPInstanceUID = f"{ct.STUDY}.{number}.1.1"
        jobs.append(arrived(site, ds, "ct-nodule", priority))
    return jobs


def with_radiograph(site: Site, number: int, priority: int) -> str:
    order = Order(number, "PHANTOM^FAIR", "O", datetime(2026, 3, 29, tzinfo=UTC))
    exposure = Exposure(chest(number, view="PA", rows=300, columns=250))
    ds = digital_radiograph(order, exposure)
    return arrived(site, ds, "cxr-qc", priority)


@contextmanager
def at_work(site: Site):
    """A worker that is not waited for in the end: its series would take long."""
    process = site.worker()
    try:
        yield
    finally:
        process.kill()
        process.wait()


def n_in_progress(site: Site, jobs: list[str]) -> int:
    states = site.states()
    return sum(states[one] == "IN_PROGRESS" for one in jobs)


def done(site: Site, job: str) -> bool:
    return site.states()[job] == "COMPLETED"


def test_a_radiograph_is_done_before_the_series_that_hold_every_place(site):
    """Although it is no more urgent than they are: all of them are STAT."""
    limited(site, N_SERIES)
    series = with_series(site, N_SERIES, STAT)
    with at_work(site):
        site.wait(lambda: n_in_progress(site, series) == N_SERIES)
        radiograph = with_radiograph(site, 1, STAT)
        site.wait(lambda: done(site, radiograph))
        assert n_in_progress(site, series) == N_SERIES


def test_an_urgent_series_is_begun_beside_as_many_as_may_be(site):
    limited(site, 2)
    series = with_series(site, 3, 0)
    with at_work(site):
        site.wait(lambda: n_in_progress(site, series) == 2)
        radiograph = with_radiograph(site, 1, 0)
        site.wait(lambda: done(site, radiograph))
        assert n_in_progress(site, series) == 2  # the third has no room
        found = scan(3, lesion=True, size=ct.PIXELS, n_slices=N_FRAMES, spacing_mm=1)
        ds = ct.enhanced(found)
        ds.StudyInstanceUID = f"{ct.STUDY}.8"
        ds.SOPInstanceUID = f"{ct.STUDY}.8.1.1"
        urgent = arrived(site, ds, "ct-nodule", STAT)
        site.wait(lambda: n_in_progress(site, [urgent]) == 1)
        assert n_in_progress(site, series) == 2
