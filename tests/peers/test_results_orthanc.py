"""A real Orthanc stores every kind of result, and gives back what was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.demo.orthanc import Modality, Orthanc
from dicomnode.domain.delivery import Outgoing, Sent
from dicomnode.store import file_meta
from tests.peers.test_results_validators import CASES, files
from tests.unit.results import cases

pytestmark = pytest.mark.peer

US = "DICOMNODE"
SENT_CASES = ("japanese", "chinese", "not-analysed", "predecessor", "3d")
KINDS = {"sr", "sr-text", "sc", "gsps"}


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 29, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Archive:
    """An Orthanc, and the results that it was sent once."""

    orthanc: Orthanc
    sent: dict[str, Path]
    """SOP Instance UID -> file, for every result of every case."""
    kinds: frozenset[str]
    answers: list[Sent]

    def send(self) -> list[Sent]:
        peer = Peer(self.orthanc.ae_title, self.orthanc.host, self.orthanc.port, US)
        return list(StorageScu(peer, _Clock()).send(outgoing(self.sent)))

    def returned(self) -> dict[str, bytes]:
        """SOP Instance UID -> the file that the archive gives out."""
        got = self.orthanc.files(cases.STUDY)
        uids = [dcmread(BytesIO(one)).SOPInstanceUID for one in got]
        assert len(uids) == len(set(uids))
        return dict(zip(uids, got, strict=True))


def outgoing(sent: dict[str, Path]) -> list[Outgoing]:
    headers = [(path, dcmread(path).file_meta) for path in sent.values()]
    return [
        Outgoing(
            path,
            meta.MediaStorageSOPClassUID,
            meta.MediaStorageSOPInstanceUID,
            meta.TransferSyntaxUID,
        )
        for path, meta in headers
    ]


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory, require_command: Callable[[str], str]
) -> Iterator[Archive]:
    require_command("Orthanc")
    folder = tmp_path_factory.mktemp("results")
    assert CASES.keys() >= set(SENT_CASES)
    made = [one for case in SENT_CASES for one in files(case, folder)]
    sent = {str(dcmread(path).SOPInstanceUID): path for _, path in made}
    kinds = frozenset(kind for kind, _ in made)
    known = {"us": Modality(US, 104)}
    with Orthanc(tmp_path_factory.mktemp("orthanc"), known) as orthanc:
        before = Archive(orthanc, sent, kinds, [])
        yield Archive(orthanc, sent, kinds, before.send())


def test_every_kind_is_stored_with_status_success(archive: Archive) -> None:
    assert archive.kinds == KINDS
    assert [one.status for one in archive.answers] == [0x0000] * len(archive.sent)


def test_the_data_sets_come_back_as_they_were_sent(archive: Archive) -> None:
    returned = archive.returned()
    assert returned.keys() == archive.sent.keys()
    for uid, path in archive.sent.items():
        assert data_set(returned[uid]) == data_set(path.read_bytes())


def data_set(part10: bytes) -> bytes:
    """The encoded data set, in which a ruined character set would be seen."""
    return part10[file_meta.data_set_offset(part10[: file_meta.HEAD_BYTES]) :]


def test_sending_twice_changes_nothing(archive: Archive) -> None:
    before = archive.returned()
    answers = archive.send()
    assert [one.status for one in answers] == [0x0000] * len(archive.sent)
    assert archive.returned() == before
