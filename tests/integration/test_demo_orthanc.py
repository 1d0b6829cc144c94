"""The private Orthanc that the demonstration and other tests start."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread

from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.demo import orthanc as module
from dicomnode.demo.cases import Case, make_cases
from dicomnode.demo.failure import DemoFailed
from dicomnode.demo.minipacs import MiniPacs
from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.errors import Unreachable

NOW = datetime(2026, 3, 4, tzinfo=UTC)
pytestmark = pytest.mark.peer


class _Clock:
    def now(self) -> datetime:
        return NOW


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """The study of two images."""
    cases = make_cases(tmp_path_factory.mktemp("sent"), NOW)
    return next(one for one in cases if len(one.instances) == 2)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniPacs]:
    """Something that Orthanc can send to."""
    with MiniPacs(tmp_path_factory.mktemp("pacs")) as running:
        yield running


@pytest.fixture(scope="module")
def orthanc(
    tmp_path_factory: pytest.TempPathFactory,
    pacs: MiniPacs,
    require_command: Callable[[str], str],
) -> Iterator[Orthanc]:
    """A running Orthanc that knows the mini-PACS and one that is not there."""
    require_command("Orthanc")
    peers = {
        "us": Modality("US", 104),
        "pacs": Modality(pacs.ae_title, pacs.port),
        "nobody": Modality("NOBODY", 1),
    }
    with Orthanc(tmp_path_factory.mktemp("orthanc"), peers) as running:
        yield running


def _scu(orthanc: Orthanc, calling_ae_title: str) -> StorageScu:
    peer = Peer(orthanc.ae_title, orthanc.host, orthanc.dicom_port, calling_ae_title)
    return StorageScu(peer, _Clock())


def test_a_known_modality_stores_and_rest_reads_it_back(
    orthanc: Orthanc, case: Case
) -> None:
    sent = _scu(orthanc, "US").send(case.instances)
    assert all(one.accepted for one in sent)
    ids = orthanc.instances(case.study_instance_uid)
    assert len(ids) == len(case.instances)
    (folder := orthanc.folder / "back").mkdir()
    pixels = set()
    for one in ids:
        (folder / one).write_bytes(orthanc.dicom_file(one))
        pixels.add(dcmread(folder / one).PixelData)
    assert pixels == {dcmread(one.path).PixelData for one in case.instances}
    assert orthanc.instances("1.2.3") == []


def test_an_unknown_modality_is_refused(orthanc: Orthanc, case: Case) -> None:
    with pytest.raises(Unreachable):
        _scu(orthanc, "STRANGER").send(case.instances)


def test_it_sends_what_was_uploaded(
    orthanc: Orthanc, pacs: MiniPacs, case: Case
) -> None:
    ids = [orthanc.upload(one.path.read_bytes()) for one in case.instances]
    orthanc.store("pacs", ids)
    assert len(pacs.files(case.study_instance_uid)) == len(ids)


def test_what_it_cannot_send_is_an_error(orthanc: Orthanc, case: Case) -> None:
    ids = [orthanc.upload(one.path.read_bytes()) for one in case.instances]
    with pytest.raises(DemoFailed, match=r"orthanc\.log"):
        orthanc.store("nobody", ids)


def test_a_missing_orthanc_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "executable", lambda: None)
    with pytest.raises(DemoFailed, match="--pacs embedded"), Orthanc(tmp_path, {}):
        pass


def test_one_that_does_not_start_names_its_log(
    tmp_path: Path, require_command: Callable[[str], str]
) -> None:
    require_command("Orthanc")
    wrong = {"DicomPort": "not a number"}
    with (
        pytest.raises(DemoFailed, match=r"orthanc\.log"),
        Orthanc(tmp_path, {}, settings=wrong),
    ):
        pass
