"""An archive over DICOMweb: how we sign in, and what we make of its faults."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dicomnode.cli.callups import archives
from dicomnode.cli.checkups import State
from dicomnode.config import load
from dicomnode.delivery.dicomweb import QidoClient, Service, WadoClient
from dicomnode.delivery.multipart import BrokenAnswer, NoMultipart, Parts
from dicomnode.domain.backfill import Retrieved
from dicomnode.errors import DeliveryError, Refused, Unreachable
from tests.conftest import unavailable
from tests.faults.certificates import Authority
from tests.integration.backfilling import PLUGIN, Together
from tests.integration.gateway import Gateway

pytestmark = pytest.mark.peer

ALL = {"ModalitiesInStudy": "DX"}
SECRET = "sesame-planted-secret"


@pytest.fixture(scope="module")
def archive(
    tmp_path_factory: pytest.TempPathFactory, require_orthanc: None
) -> Iterator[Together]:
    together = Together(tmp_path_factory.mktemp("archive"), "dicomweb")
    with together.receiving():
        together.open_archive()
        together.studies = together.fill(5)  # type: ignore[attr-defined]
        yield together


@pytest.fixture(scope="module")
def require_orthanc() -> None:
    from dicomnode.demo.orthanc import executable

    if executable() is None:
        unavailable("Orthanc")
    if not PLUGIN.exists():
        unavailable("Orthanc's DICOMweb (apt install orthanc-dicomweb)")


@pytest.fixture
def gateway(archive: Together) -> Gateway:
    return Gateway(archive.url.removesuffix("/dicom-web"))


def client(archive: Together, service: Service) -> WadoClient:
    return WadoClient(service, archive.taking(), 1 << 30)


def found(archive: Together, service: Service) -> list[str]:
    return [one.study_instance_uid for one in QidoClient(service).find(ALL)]


@pytest.mark.parametrize("way", ["basic", "bearer"])
def test_it_signs_in_over_tls(
    archive: Together, gateway: Gateway, tmp_path: Path, way: str
) -> None:
    authority = Authority(tmp_path)
    shown = b64encode(f"änne:{SECRET}".encode()).decode()
    gateway.demands = f"Bearer {SECRET}" if way == "bearer" else f"Basic {shown}"
    with gateway.open(authority.issue("pacs")) as url:
        service = Service(url, connect_seconds=20, silent_seconds=60)
        with pytest.raises(Unreachable, match="name its authority in dicomweb_ca"):
            found(archive, service)
        service = replace(service, ca=authority.pem)
        with pytest.raises(Refused, match="HTTP 401 Unauthorized: it wants other"):
            found(archive, service)
        with pytest.raises(Refused, match="dicomweb_user"):
            client(archive, service).retrieve(archive.studies[0], lambda: None)
        signed = (
            replace(service, token=SECRET)
            if way == "bearer"
            else replace(service, user="änne", password=SECRET)
        )
        assert sorted(found(archive, signed)) == sorted(archive.studies)
        ended = client(archive, signed).retrieve(archive.studies[0], lambda: None)
        assert ended == Retrieved(0, n_completed=1)
        assert SECRET not in repr(signed)


def test_an_answer_that_breaks_off_keeps_only_what_is_whole(
    archive: Together, gateway: Gateway
) -> None:
    [study] = archive.fill(1, n_instances=3)
    [size, *_] = map(len, archive.orthanc.files(study))
    gateway.cut_after_bytes = 2 * size  # in the middle of the second
    before = set(archive.instances.locations())
    with gateway.open() as url:
        service = Service(url)
        with pytest.raises(Unreachable, match="broke off"):
            client(archive, service).retrieve(study, lambda: None)
        assert len(set(archive.instances.locations()) - before) == 1
        gateway.cut_after_bytes = 0
        ended = client(archive, service).retrieve(study, lambda: None)
    assert ended == Retrieved(0, n_completed=3)
    assert len(set(archive.instances.locations()) - before) == 3
    conflicts = archive.worklist.views.events(limit=10_000)
    assert not [one for one in conflicts if one["kind"] == "instance conflict"]


@pytest.mark.parametrize(
    ("page", "n_asked"), [(0, 2), (2, 4), (-1, 2)],
    ids=["in one page", "in small pages", "without pages"],
)  # fmt: skip
def test_every_study_is_found_once(
    archive: Together, gateway: Gateway, page: int, n_asked: int
) -> None:
    gateway.page = page
    wanted = sorted(found(archive, Service(archive.url)))
    with gateway.open() as url:
        assert sorted(found(archive, Service(url))) == wanted
    assert len(gateway.asked) >= n_asked


def test_the_doctor_asks_it(
    archive: Together, gateway: Gateway, tmp_path: Path
) -> None:
    gateway.demands = f"Bearer {SECRET}"
    with gateway.open() as url:
        (tmp_path / "c.toml").write_text(
            '[[destination]]\nname = "VNA"\nae_title = "V"\nhost = "127.0.0.1"\n'
            f'port = 104\nretrieve = "dicomweb"\ndicomweb_url = "{url}"\n'
        )
        for given, state, said in (
            (SECRET, State.OK, "VNA answers at http"),
            ("wrong-token", State.FAIL, "HTTP 401"),
        ):
            environ = {"DICOMNODE_DESTINATION__VNA__DICOMWEB_TOKEN": given}
            (look,) = archives(load(tmp_path / "c.toml", environ=environ))
            assert look.state is state
            assert said in look.said
            assert given not in look.said


def test_what_its_answers_mean(archive: Together, gateway: Gateway) -> None:
    [study, *_] = archive.studies
    with gateway.open() as url:
        mine = client(archive, Service(url))
        for status in (408, 429, 502, 503, 504):
            gateway.status = status
            with pytest.raises(Unreachable, match=f"HTTP {status} "):
                mine.retrieve(study, lambda: None)
            with pytest.raises(Unreachable, match="we ask again"):
                list(mine.find(ALL))
        for status in (400, 404, 406, 500):
            gateway.status = status
            ended = mine.retrieve(study, lambda: None)
            assert (ended.status, ended.n_completed) == (status, 0)
            assert f"HTTP {status} " in ended.why
            with pytest.raises(Refused, match=f"HTTP {status} "):
                list(mine.find(ALL))


def test_no_name_of_a_query_is_told(
    archive: Together, gateway: Gateway, caplog: Any
) -> None:
    caplog.set_level(logging.INFO)
    query = {"PatientName": "DOE^JANE", "PatientID": "4711"}
    with gateway.open() as url:
        for gateway.status in (400, 503):
            with pytest.raises(DeliveryError) as raised:
                list(QidoClient(Service(url)).find(query))
            assert "DOE" not in str(raised.value)
    with pytest.raises(Unreachable) as raised:
        list(QidoClient(Service(url)).find(query))  # it is away
    assert "DOE" not in f"{raised.value} {raised.value.__cause__}"
    assert "check dicomweb_url" in str(raised.value)
    assert any("PatientName=DOE" in one for one in gateway.asked)
    assert not [one for one in caplog.messages if "DOE" in one or "4711" in one]


def test_parts_come_whole_however_they_are_cut() -> None:
    contents = [b"one", b"\r\n--x-no-boundary\r\n" * 50, b""]
    body = b"".join(
        b"--x\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n"
        for one in contents
    )
    kind = 'multipart/related; type="application/dicom"; boundary="x"'
    for step in (1, 7, 4096):
        parts = Parts(kind, 1 << 20)
        whole = body + b"--x--\r\n"
        cut = [whole[at : at + step] for at in range(0, len(whole), step)]
        assert [part for chunk in cut for part in parts.feed(chunk)] == contents
        parts.close()
    parts = Parts(kind, 4)
    assert [len(one) for one in parts.feed(body)] == [3, 5]
    with pytest.raises(BrokenAnswer, match="last boundary"):
        parts.close()
    for other in ("text/html", "multipart/related", ""):
        with pytest.raises(NoMultipart):
            Parts(other, 4)
