"""Fault 25: TLS that must not be trusted, and certificates that change."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from dicomnode.domain.association import Association
from dicomnode.receiver.scp import TlsSettings
from dicomnode.tls import TlsFiles, client_context, faults
from tests.faults.certificates import HOUR, Authority, Identity, Key
from tests.faults.raw import (
    A_ASSOCIATE_AC,
    HANG_SECONDS,
    answer,
    connected,
    everything,
    request,
)
from tests.integration.receiving import Node, receiving, settings
from tests.integration.test_receive import made

Require = Callable[[str], str]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def ours(authority: Authority) -> TlsFiles:
    """The node's files: mutual TLS."""
    identity = authority.issue("node")
    return TlsFiles(identity.certificate, identity.private_key, authority.pem)


@pytest.fixture
def node(tmp_path: Path, ours: TlsFiles) -> Iterator[Node]:
    how = replace(settings(), tls=TlsSettings(ours))
    with receiving(tmp_path / "instances", how) as running:
        yield running


def encrypted(
    port: int, authority: Authority, identity: Identity | None = None
) -> ssl.SSLSocket:
    """A connection of ours; the handshake is done."""
    files = TlsFiles(authorities=authority.pem)
    if identity:
        files = replace(
            files,
            certificate=identity.certificate,
            private_key=identity.private_key,
        )
    connection = socket.create_connection(("127.0.0.1", port), timeout=HANG_SECONDS)
    return client_context(files).wrap_socket(connection, server_hostname="127.0.0.1")


def seen(node: Node) -> Association:
    """The one association request that the worklist knows of, as soon as it does."""
    tick = threading.Event()
    for _ in range(HANG_SECONDS * 50):
        if node.intake.associations:
            break
        tick.wait(0.02)
    (found,) = node.intake.associations
    return found


def dcmtk(identity: Identity, authority: Authority) -> tuple[str, ...]:
    files = (str(identity.private_key), str(identity.certificate))
    return ("+tls", *files, "+cf", str(authority.pem))


def run(*command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
        check=False,
    )


TITLES = ("-aet", "MODALITY", "-aec", "DICOMNODE", "127.0.0.1")


@pytest.mark.peer
def test_25_dcmtk_stores_over_mutual_tls(
    node: Node, authority: Authority, require_command: Require, shared_data: Path
) -> None:
    source = shared_data / "dicom" / "transfer_syntax_same_ct" / "CTImage.dcm"
    scanner = authority.issue("scanner")
    where = (*TITLES, str(node.scp.tls_port))
    options = dcmtk(scanner, authority)
    echo = run(require_command("echoscu"), *options, *where)
    assert echo.returncode == 0, echo.stderr
    store = run(require_command("storescu"), *options, "-R", *where, str(source))
    assert store.returncode == 0, store.stderr
    assert len(node.files()) == 1
    assert all(one.accepted for one in node.intake.associations)


def of_another_authority(authority: Authority) -> tuple[str, ...]:
    folder = authority.folder / "theirs"
    folder.mkdir()
    return dcmtk(Authority(folder, "Other CA").issue("stranger"), authority)


UNTRUSTED: dict[str, Callable[[Authority], tuple[str, ...]]] = {
    "expired": lambda ca: dcmtk(ca.issue("late", until=-HOUR), ca),
    "wrong authority": of_another_authority,
    "none": lambda ca: ("+tla", "+cf", str(ca.pem)),
}


@pytest.mark.peer
@pytest.mark.parametrize(
    ("kind", "reason", "remedy"),
    [
        ("expired", "certificate has expired", "renew its certificate"),
        ("wrong authority", "unable to get local issuer", "client_ca"),
        ("none", "PEER_DID_NOT_RETURN_A_CERTIFICATE", "give it a certificate"),
    ],
)
def test_25_a_certificate_that_must_not_be_trusted_is_refused_and_visible(
    node: Node,
    authority: Authority,
    require_command: Require,
    kind: str,
    reason: str,
    remedy: str,
) -> None:
    echo, options = require_command("echoscu"), UNTRUSTED[kind](authority)
    assert run(echo, *options, *TITLES, str(node.scp.tls_port)).returncode != 0
    refused = seen(node)
    assert (refused.accepted, refused.address) == (False, "127.0.0.1")
    assert reason in refused.reason
    assert remedy in refused.remedy


@pytest.mark.peer
def test_25_tls_1_1_is_refused_and_visible(
    node: Node, require_command: Require
) -> None:
    done = run(
        *(require_command("openssl"), "s_client", "-tls1_1"),
        *("-cipher", "ALL@SECLEVEL=0"),
        *("-connect", f"127.0.0.1:{node.scp.tls_port}"),
    )
    assert "alert protocol version" in done.stderr
    assert "allow TLS 1.2 or 1.3" in seen(node).remedy


KEYS: dict[str, Callable[[], Key]] = {
    "ECDSA": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    "offered",
    ["ECDHE-{}-AES128-GCM-SHA256", "ECDHE-{}-AES256-GCM-SHA384", "TLS_AES_"],
)
def test_25_each_suite_of_the_profile_is_taken(
    tmp_path: Path, authority: Authority, kind: str, offered: str
) -> None:
    """PS3.15 B.12 takes over BCP 195: RFC 9325 4.2.1, and all of TLS 1.3."""
    ours = authority.issue("node", key=KEYS[kind]())
    tls = TlsSettings(TlsFiles(ours.certificate, ours.private_key))
    client = ssl.create_default_context(cafile=str(authority.pem))
    if offered.startswith("ECDHE"):
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        client.set_ciphers(offered.format(kind))
    with receiving(tmp_path / "instances", replace(settings(), tls=tls)) as node:
        plain = connected(node.scp.tls_port)
        with client.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            used = connection.cipher()
            assert used is not None
            assert used[0].startswith(offered.format(kind))
            connection.sendall(request())
            assert answer(connection)[0] == A_ASSOCIATE_AC


@pytest.mark.peer
@pytest.mark.parametrize(
    "suite",
    ["AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA256", "DHE-RSA-AES128-GCM-SHA256"],
)
def test_25_a_suite_beyond_the_profile_is_refused(
    node: Node, require_command: Require, suite: str
) -> None:
    done = run(
        *(require_command("openssl"), "s_client", "-tls1_2", "-cipher", suite),
        *("-connect", f"127.0.0.1:{node.scp.tls_port}"),
    )
    assert "handshake failure" in done.stderr
    assert "cipher suite of PS3.15 B.12" in seen(node).remedy


@pytest.mark.peer
def test_25_renegotiation_is_refused(
    node: Node, authority: Authority, require_command: Require
) -> None:
    scanner = authority.issue("scanner")
    done = run(
        *(require_command("openssl"), "s_client", "-tls1_2"),
        *("-cert", str(scanner.certificate), "-key", str(scanner.private_key)),
        *("-connect", f"127.0.0.1:{node.scp.tls_port}"),
        stdin="R\n",
    )
    assert "RENEGOTIATING" in done.stdout + done.stderr
    assert "no renegotiation" in done.stderr
    with encrypted(node.scp.tls_port, authority, scanner) as connection:
        connection.sendall(request())
        assert answer(connection)[0] == A_ASSOCIATE_AC


def serial_number(connection: ssl.SSLSocket) -> int:
    shown = connection.getpeercert(binary_form=True)
    assert shown
    return x509.load_der_x509_certificate(shown).serial_number


def test_25_a_new_certificate_is_taken_up_without_a_restart(
    node: Node, authority: Authority
) -> None:
    scanner, port = authority.issue("scanner"), node.scp.tls_port
    with encrypted(port, authority, scanner) as old:
        old.sendall(request())
        assert answer(old)[0] == A_ASSOCIATE_AC
        authority.issue("node")
        with encrypted(port, authority, scanner) as new:
            assert serial_number(new) != serial_number(old)
        # An association under way is not disturbed: it can still be released.
        old.sendall(bytes.fromhex("05 00 00000004 00000000"))
        assert answer(old)[0] == 0x06


def test_25_a_broken_new_certificate_changes_nothing(
    node: Node, authority: Authority, ours: TlsFiles
) -> None:
    scanner, port = authority.issue("scanner"), node.scp.tls_port
    with encrypted(port, authority, scanner) as connection:
        before = serial_number(connection)
    assert ours.certificate
    ours.certificate.write_text("half a certificate")
    with encrypted(port, authority, scanner) as connection:
        assert serial_number(connection) == before


def test_25_with_tls_required_nothing_comes_in_the_clear(
    tmp_path: Path, authority: Authority, ours: TlsFiles
) -> None:
    how = replace(settings(), tls=TlsSettings(ours, required=True))
    with receiving(tmp_path / "instances", how) as node:
        assert node.port == node.scp.tls_port
        with encrypted(node.port, authority, authority.issue("scanner")) as one:
            one.sendall(request())
            assert answer(one)[0] == A_ASSOCIATE_AC
        with socket.create_connection(("127.0.0.1", node.port)) as plain:
            plain.settimeout(HANG_SECONDS)
            plain.sendall(request())
            assert A_ASSOCIATE_AC not in everything(plain)[:1]


def test_25_a_request_in_pieces_and_what_follows_it_arrive_whole(
    node: Node, authority: Authority
) -> None:
    """The first PDU is read before the association is there, and given back to it."""
    release = bytes.fromhex("05 00 00000004 00000000")
    sent = request(abstract_syntaxes=[made().key.sop_class_uid] * 100)
    scanner = authority.issue("scanner")
    with encrypted(node.scp.tls_port, authority, scanner) as connection:
        for begin in range(0, len(sent), 1000):
            connection.sendall(sent[begin : begin + 1000])
        assert answer(connection)[0] == A_ASSOCIATE_AC
        connection.sendall(release)
        assert answer(connection)[0] == 0x06


@pytest.mark.parametrize(
    ("spoil", "field", "words"),
    [
        ("expire", "certificate", "expired at"),
        ("exchange", "private_key", "is not the key of"),
        ("remove", "private_key", "No such file or directory"),
        ("scribble", "certificate", "holds no certificate in PEM"),
        ("no authority", "authorities", "holds no certificate in PEM"),
    ],
)
def test_25_files_that_cannot_work_are_told_before_the_start(
    authority: Authority, ours: TlsFiles, spoil: str, field: str, words: str
) -> None:
    assert list(faults(ours, datetime.now(UTC))) == []
    assert ours.certificate
    assert ours.private_key
    assert ours.authorities
    now = datetime.now(UTC)
    if spoil == "expire":
        now += 2 * HOUR
    elif spoil == "exchange":
        authority.issue("other").private_key.replace(ours.private_key)
    elif spoil == "remove":
        ours.private_key.unlink()
    elif spoil == "scribble":
        ours.certificate.write_text("scribble")
    else:
        ours.authorities.write_text("scribble")
    found = dict(faults(ours, now))
    assert words in found[field]
