"""Syslog over TLS with a real collector (RFC 5424, RFC 5425, PS3.15 A.6)."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from dicomnode.audit import Target, syslog
from tests.integration.collector import (
    Authority,
    Collector,
    authority,
    server_context,
)

MESSAGES = [b"<85>1 - %d <AuditMessage>%s</AuditMessage>" % (n, b"x" * 5000) for n in range(40)]  # fmt: skip  # noqa: E501


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"))


def test_a_batch_arrives_whole_and_in_order(signer: Authority) -> None:
    with Collector(server_context(signer)) as collector:
        syslog.send(
            Target("127.0.0.1", collector.port, ca=signer.ca),
            MESSAGES,
        )
        # Nothing to wait for: what send returns from has been read.
        assert collector.messages == MESSAGES


def test_a_collector_of_an_unknown_authority_gets_nothing(
    signer: Authority, tmp_path: Path
) -> None:
    stranger = authority(tmp_path)
    with Collector(server_context(stranger)) as collector:
        target = Target("127.0.0.1", collector.port, ca=signer.ca)
        with pytest.raises(ssl.SSLCertVerificationError):
            syslog.send(target, MESSAGES)
        assert not collector.messages


def test_a_collector_of_another_name_gets_nothing(signer: Authority) -> None:
    with Collector(server_context(signer)) as collector:
        target = Target("127.0.0.2", collector.port, ca=signer.ca)
        with pytest.raises(OSError, match=r"mismatch|refused"):
            syslog.send(target, MESSAGES)
        assert not collector.messages


def test_old_tls_is_not_spoken(signer: Authority) -> None:
    context = server_context(signer)
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Collector(context) as collector:
        with pytest.raises(OSError):  # noqa: PT011 - by whom it is ended may vary
            syslog.send(Target("127.0.0.1", collector.port, ca=signer.ca), MESSAGES)
        assert not collector.messages


def test_a_certificate_of_ours_is_shown_where_it_is_asked_for(
    signer: Authority,
) -> None:
    certificate, key = signer.issue("node")
    with Collector(server_context(signer, mutual=True)) as collector:
        without = Target("127.0.0.1", collector.port, ca=signer.ca)
        with pytest.raises(OSError):  # noqa: PT011 - an alert, or a reset
            syslog.send(without, MESSAGES)
        # Nothing left unread resets the connection here: the alert alone says it.
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            syslog.send(without, [])
        assert not collector.messages
        shown = Target(
            "127.0.0.1",
            collector.port,
            ca=signer.ca,
            certificate=certificate,
            private_key=key,
        )
        syslog.send(shown, MESSAGES)
        assert collector.messages == MESSAGES


def test_in_clear_only_when_told_so() -> None:
    taken: list[bytes] = []

    def take(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            taken.append(stream.read())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        syslog.send(Target("127.0.0.1", port, tls=False), [b"<85>1 a", b"<85>1 bc"])
        thread.join()
    assert taken == [b"7 <85>1 a8 <85>1 bc"]


def test_a_silent_peer_that_takes_nothing_is_no_delivery() -> None:
    """The line is open and nobody reads: nothing counts as sent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        target = Target("127.0.0.1", port, tls=False, timeout_seconds=0.2)
        with pytest.raises(TimeoutError):
            syslog.send(target, [b"x" * 1_000_000] * 20)
