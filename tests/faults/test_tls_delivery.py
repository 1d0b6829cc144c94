"""Fault 25, the other way: destinations with TLS that may or may not be trusted."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from structlog.testing import capture_logs
from typer.testing import CliRunner

from dicomnode.cli.app import app
from dicomnode.config import load
from dicomnode.delivery.storage_scu import Peer, StorageScu
from dicomnode.domain.commitment import CommitmentAnswer, Reference
from dicomnode.domain.delivery import Outgoing
from dicomnode.errors import ConfigError, Unreachable
from dicomnode.processes.clock import SystemClock
from dicomnode.processes.receive import settings as settings_of
from dicomnode.receiver.reporting import Listening, Reporter, ReporterSettings
from dicomnode.receiver.scp import TlsSettings
from dicomnode.tls import TlsFiles, TlsPeer, server_context
from tests.faults.certificates import HOUR, Authority, Identity
from tests.faults.raw import HANG_SECONDS
from tests.integration.fake_pacs import listening_modality
from tests.integration.receiving import receiving, settings

SOME = Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.3.4")

Require = Callable[[str], str]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def scu(port: int, files: TlsFiles, server_name: str = "127.0.0.1") -> StorageScu:
    tls = TlsPeer(files, server_name)
    peer = Peer("DICOMNODE", "127.0.0.1", port, "MODALITY", HANG_SECONDS, tls)
    return StorageScu(peer, SystemClock())


def showing(identity: Identity, authority: Authority) -> TlsFiles:
    return TlsFiles(identity.certificate, identity.private_key, authority.pem)


@contextmanager
def storescp(
    command: str, port: int, identity: Identity, authority: Authority, folder: Path
) -> Iterator[None]:
    """DCMTK's, with mutual TLS, as soon as it listens."""
    files = (str(identity.private_key), str(identity.certificate))
    process = subprocess.Popen(
        [
            *(command, "+tls", *files, "+cf", str(authority.pem)),
            *("-od", str(folder), "-aet", "DICOMNODE", str(port)),
        ]
    )
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.peer
def test_25_results_go_to_a_destination_over_mutual_tls(
    tmp_path: Path,
    authority: Authority,
    require_command: Require,
    free_port: Callable[[], int],
    shared_data: Path,
) -> None:
    source = shared_data / "dicom" / "transfer_syntax_same_ct" / "CTImage.dcm"
    ds = dcmread(source, stop_before_pixels=True)
    syntax = ds.file_meta.TransferSyntaxUID
    outgoing = Outgoing(source, ds.SOPClassUID, ds.SOPInstanceUID, syntax)
    there, port = tmp_path / "there", free_port()
    there.mkdir()
    pacs, node = authority.issue("pacs"), authority.issue("node")
    with storescp(require_command("storescp"), port, pacs, authority, there):
        sender = scu(port, showing(node, authority))
        assert until_it_answers(sender) > 0
        (sent,) = sender.send([outgoing])
    assert (sent.status, sent.error) == (0, "")
    assert len(list(there.iterdir())) == 1


def until_it_answers(sender: StorageScu) -> float:
    """A process that was just started does not listen at once."""
    ends_at = time.monotonic() + HANG_SECONDS
    while True:
        try:
            return sender.echo()
        except Unreachable:
            if time.monotonic() > ends_at:
                raise


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("expired", "renew its certificate"),
        ("other authority", "destination.tls_ca"),
        ("other name", "destination.tls_server_name"),
        ("no TLS there", "correct destination.port"),
        ("no file", "name a PEM file that the service may read"),
    ],
)
def test_25_a_destination_that_must_not_be_trusted_gets_nothing(
    tmp_path: Path, authority: Authority, kind: str, words: str
) -> None:
    until = -HOUR if kind == "expired" else HOUR
    hosts = ("pacs.hospital.example",) if kind == "other name" else ()
    theirs = authority.issue("pacs", until, hosts)
    how = replace(
        settings(), tls=TlsSettings(TlsFiles(theirs.certificate, theirs.private_key))
    )
    trusted = authority.pem
    if kind == "other authority":
        (tmp_path / "other").mkdir()
        trusted = Authority(tmp_path / "other", "Other CA").pem
    elif kind == "no file":
        trusted = tmp_path / "missing.pem"
    with receiving(tmp_path / "instances", how) as node:
        port = node.port if kind == "no TLS there" else node.scp.tls_port
        with pytest.raises(Unreachable) as caught:
            scu(port, TlsFiles(authorities=trusted)).echo()
    assert words in str(caught.value)
    assert not any(one.accepted for one in node.intake.associations)


def test_25_the_name_in_the_certificate_may_be_told(
    tmp_path: Path, authority: Authority
) -> None:
    theirs = authority.issue("pacs", hosts=("pacs.hospital.example",))
    how = replace(
        settings(), tls=TlsSettings(TlsFiles(theirs.certificate, theirs.private_key))
    )
    files = TlsFiles(authorities=authority.pem)
    with receiving(tmp_path / "instances", how) as node:
        assert scu(node.scp.tls_port, files, "pacs.hospital.example").echo() > 0


@pytest.mark.parametrize(
    ("kind", "told"),
    [("trusted", True), ("other name", False), ("no TLS there", False)],
)
def test_25_our_answer_to_storage_commitment_goes_over_mutual_tls(
    tmp_path: Path, authority: Authority, kind: str, told: bool
) -> None:
    hosts = ("ct.hospital.example",) if kind == "other name" else ()
    modality, node = authority.issue("modality", hosts=hosts), authority.issue("node")
    encrypted = server_context(showing(modality, authority))
    files = showing(node, authority)
    with (
        listening_modality(None if kind == "no TLS there" else encrypted) as listening,
        capture_logs() as logs,
    ):
        port, answers, _ = listening
        reporter = Reporter(
            ReporterSettings(
                "DICOMNODE",
                "1.2.3",
                "DICOMNODE",
                {"MODALITY": Listening(port, TlsPeer(files, ""))},
                delays_seconds=(0.0,),
            )
        )
        reporter.report(CommitmentAnswer("2.25.7", (SOME,)), "MODALITY", "127.0.0.1")
        reporter._threads.shutdown()
    assert [one.transaction_uid for one in answers] == ["2.25.7"] * told
    (said,) = (one for one in logs if one["event"].startswith("receiver.commitment"))
    assert said["event"].endswith("not_told") is not told
    remedies = {
        "other name": "peer.tls_server_name",
        "no TLS there": "correct peer.port",
    }
    assert remedies.get(kind, "") in said.get("error", "")


CONFIG = """
[receiver.tls]
enabled = true
certificate = "node.crt"
private_key = "node.key"
client_ca = "Hospital-CA.pem"

[[destination]]
name = "PACS"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = 4242
tls = true
tls_ca = "Hospital-CA.pem"
tls_certificate = "node.crt"
tls_private_key = "node.key"

[[peer]]
ae_title = "CT1"
hosts = ["127.0.0.1"]
port = 104
tls = true
tls_certificate = "node.crt"
tls_private_key = "node.key"
"""


def test_51_a_bad_certificate_is_told_with_its_line(
    tmp_path: Path, authority: Authority
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    authority.issue("node")
    command = ["config", "check", "--config", str(config)]
    good = CliRunner().invoke(app, command)
    assert good.exit_code == 0, good.output
    authority.issue("node", until=-HOUR)
    expired = CliRunner().invoke(app, command)
    assert expired.exit_code != 0
    said = str(expired.output) + str(expired.exception)
    assert "config.toml:4: receiver.tls.certificate" in said
    assert "config.toml:15: destination[1].tls_certificate" in said
    assert "config.toml:23: peer[1].tls_certificate" in said
    assert "renew it" in said


def test_51_a_receiver_does_not_start_without_its_key(
    tmp_path: Path, authority: Authority
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    authority.issue("node").private_key.unlink()
    how = replace(settings_of(load(config, environ={})), host="127.0.0.1", port=0)
    with (
        pytest.raises(ConfigError, match=r"node\.key: No such file"),
        receiving(tmp_path / "instances", how),
    ):
        pass
