"""echo and send, against a real SCP on the loopback."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pynetdicom import AE, build_context, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    CTImageStorage as CTImage,
)
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    Verification,
)
from typer.testing import CliRunner

from dicomnode.cli.app import app
from dicomnode.demo.minipacs import MiniPacs

FILES = ("CT_small.dcm", "MR_small.dcm", "test-SR.dcm")


@pytest.fixture
def pacs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MiniPacs]:
    monkeypatch.chdir(tmp_path)
    with MiniPacs(tmp_path / "pacs") as pacs:
        (tmp_path / "config.toml").write_text(
            f"[[destination]]\nname = 'ARCHIVE'\nae_title = '{pacs.ae_title}'\n"
            f"host = '{pacs.host}'\nport = {pacs.port}\n"
        )
        yield pacs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "study" / "below"
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(get_testdata_file(name), folder / name)
    return folder.parent


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def address(pacs: MiniPacs) -> str:
    return f"{pacs.ae_title}@{pacs.host}:{pacs.port}"


def test_echo_a_configured_destination_or_an_address(pacs: MiniPacs) -> None:
    for called in ("ARCHIVE", address(pacs)):
        result = invoke("echo", called)
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith(f"ok: {address(pacs)} answered in ")
        assert result.stdout.endswith(" ms\n")


@pytest.fixture
def callers() -> Iterator[tuple[str, list[str]]]:
    """An address that takes everything, and the calling AE titles it has seen."""
    seen: list[str] = []
    ae = AE("ARCHIVE")
    ae.supported_contexts = [build_context(one) for one in (Verification, CTImage)]
    handlers = [
        (evt.EVT_ACCEPTED, lambda event: seen.append(event.assoc.requestor.ae_title)),
        (evt.EVT_C_STORE, lambda _event: 0x0000),
    ]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    yield f"ARCHIVE@127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()


def test_the_calling_ae_title_can_be_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    callers: tuple[str, list[str]],
) -> None:
    monkeypatch.chdir(tmp_path)
    address, seen = callers
    path = str(folder / "below" / "CT_small.dcm")
    for words in (["echo", address], ["send", path, "--to", address]):
        assert invoke(*words).exit_code == 0
        called = invoke(*words, "--calling", "CT 1")
        assert called.exit_code == 0, called.output
    assert seen == ["DICOMNODE", "CT 1"] * 2
    refused = invoke("echo", address, "--calling", "MORE_THAN_16_LETTERS")
    assert refused.exit_code == 2
    assert "--calling 'MORE_THAN_16_LETTERS': " in refused.stderr
    assert len(seen) == 4


def test_echo_of_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("echo", f"NOBODY@127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert "no association; check host, port, firewall" in result.stderr


def test_send_a_folder(pacs: MiniPacs, folder: Path) -> None:
    (folder / "notes.txt").write_text("not DICOM")
    shutil.copy(get_testdata_file("DICOMDIR"), folder / "DICOMDIR")
    result = invoke("send", str(folder), "--to", "ARCHIVE")
    assert result.exit_code == 0, result.output
    assert result.stdout == "3 sent, 0 refused\n"
    assert "skipped: notes.txt" in result.stderr
    for name in FILES:
        ds = dcmread(get_testdata_file(name), stop_before_pixels=True)
        assert len(pacs.files(ds.StudyInstanceUID)) == 1


def test_send_one_file_as_json(pacs: MiniPacs, folder: Path) -> None:
    path = folder / "below" / "CT_small.dcm"
    result = invoke("send", str(path), "--to", address(pacs), "--json")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    assert json.loads(line) == {
        "sop_instance_uid": dcmread(path).SOPInstanceUID,
        "status": 0,
        "accepted": True,
        "error": "",
    }


def test_a_refused_instance_ends_with_1(pacs: MiniPacs, folder: Path) -> None:
    shutil.rmtree(pacs.folder)
    pacs.folder.write_text("no place to store to")
    try:
        result = invoke("send", str(folder), "--to", "ARCHIVE")
    finally:
        os.unlink(pacs.folder)
    assert result.exit_code == 1
    assert result.stdout == "0 sent, 3 refused\n"
    assert result.stderr.count("refused: ") == 3


def test_nothing_to_send(pacs: MiniPacs, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("not DICOM")
    (tmp_path / "empty").mkdir()
    for path in ("x.txt", "empty"):
        result = invoke("send", str(tmp_path / path), "--to", "ARCHIVE")
        assert result.exit_code == 1
        assert "PS3.10" in result.stderr
