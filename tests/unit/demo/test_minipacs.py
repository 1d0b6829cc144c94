"""The mini-PACS takes what is sent and finds it again."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StudyRootQueryRetrieveInformationModelFind as StudyRootFind,
)

from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.demo.cases import Case
from dicomnode.demo.minipacs import MiniPacs
from dicomnode.demo.pacs import find_series
from tests.integration.receiving import undisturbed


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 4, tzinfo=UTC)


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[MiniPacs]:
    """A running one, on a free port of the loopback."""
    with MiniPacs(tmp_path / "pacs") as running:
        yield running


def _scu(pacs: MiniPacs) -> StorageScu:
    return StorageScu(Peer(pacs.ae_title, pacs.host, pacs.port, "TEST"), _Clock())


def test_it_listens_on_the_loopback_only(pacs: MiniPacs) -> None:
    assert pacs.host == "127.0.0.1"
    assert pacs.port > 0
    assert _scu(pacs).echo() >= 0


def test_every_syntax_comes_back_byte_for_byte(
    pacs: MiniPacs, cases: tuple[Case, ...]
) -> None:
    for case in cases:
        assert all(one.accepted for one in _scu(pacs).send(case.instances))
        sent = sorted(dcmread(one.path).PixelData for one in case.instances)
        kept = [
            dcmread(path)
            for path in pacs.folder.iterdir()
            if dcmread(path).StudyInstanceUID == case.study_instance_uid
        ]
        assert sorted(ds.PixelData for ds in kept) == sent
        assert {ds.file_meta.TransferSyntaxUID for ds in kept} == {
            case.transfer_syntax_uid
        }
        assert len(pacs.files(case.study_instance_uid)) == len(case.instances)


def test_a_workstation_finds_the_series(
    pacs: MiniPacs, case_named: dict[str, Case]
) -> None:
    case = case_named["two-images"]
    _scu(pacs).send(case.instances)
    (series,) = find_series(pacs, "TEST", case.study_instance_uid)
    assert series.Modality == "DX"
    assert series.NumberOfSeriesRelatedInstances == 2
    assert find_series(pacs, "TEST", "1.2.3") == []


def test_an_unknown_level_is_refused_with_its_status(pacs: MiniPacs) -> None:
    query = Dataset()
    query.QueryRetrieveLevel = "WARD"
    ae = AE("TEST")
    ae.add_requested_context(StudyRootFind)
    association = ae.associate(pacs.host, pacs.port, ae_title=pacs.ae_title)
    with undisturbed(association):
        ((status, identifier),) = association.send_c_find(query, StudyRootFind)
    association.release()
    assert status.Status == 0xA900
    assert identifier is None


@pytest.mark.peer
def test_dcmtk_sends_and_finds(
    pacs: MiniPacs,
    case_named: dict[str, Case],
    require_command: Callable[[str], str],
) -> None:
    case = case_named["upright"]
    address = ["-aec", pacs.ae_title, pacs.host, str(pacs.port)]
    for program in ("echoscu", "storescu"):
        files = [str(case.instances[0].path)] if program == "storescu" else []
        subprocess.run([require_command(program), *address, *files], check=True)
    keys = ["QueryRetrieveLevel=STUDY", "PatientName=phan*", "StudyInstanceUID"]
    options = [part for key in keys for part in ("-k", key)]
    found = subprocess.run(
        [require_command("findscu"), "-S", *address, *options],
        capture_output=True,
        text=True,
        check=True,
    )
    assert case.study_instance_uid in found.stdout + found.stderr
