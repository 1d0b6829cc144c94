"""Alerts reach a real mail server and a real web server, and say when they do not."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dicomnode.alerting.mail import MailChannel, Relay
from dicomnode.alerting.message import NOTICE, Origin
from dicomnode.alerting.webhook import Hook, WebhookChannel
from dicomnode.errors import AlertError
from dicomnode.health.alarms import Alarm
from dicomnode.health.digest import Digest
from dicomnode.tls import TlsFiles, server_context
from tests.faults.certificates import Authority
from tests.integration.alert_servers import PASSWORD, USER, mail_server, web_server

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ORIGIN = Origin("AINODE", "node.hospital.test")
JOB = "0fe22b2f6bff5661a2d77e65cd2e997a st:7f3a"
DIGEST = Digest(
    raised=(Alarm("jobs-failed", "1 failed job(s)", "see `show`", 1, (JOB,)),),
    standing=(Alarm("no-worker", "no worker is alive", "start one"),),
    cleared=("silent:CT1",),
)
WHO = ("dicomnode@hospital.test", ("pacs@hospital.test", "it@hospital.test"))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def context(authority: Authority) -> ssl.SSLContext:
    identity = authority.issue("mail")
    return server_context(TlsFiles(identity.certificate, identity.private_key))


def mailed(port: int, **relay: object) -> None:
    known = Relay("127.0.0.1", port, **relay)  # type: ignore[arg-type]
    MailChannel(known, *WHO, ORIGIN).send(DIGEST, NOON)


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_a_mail_goes_encrypted_and_signed_in(
    authority: Authority, context: ssl.SSLContext, encryption: str
) -> None:
    with mail_server(context, from_the_start=encryption == "tls") as box:
        account = {"user": USER, "password": PASSWORD}
        mailed(box.port, encryption=encryption, ca=authority.pem, **account)
    mail = box.mails.get_nowait()
    assert box.encrypted == [True]
    assert box.signed_in == [USER]
    assert mail["To"] == "pacs@hospital.test, it@hospital.test"
    subject = "[dicomnode AINODE] failed jobs, no study from CT1: over"
    assert mail["Subject"] == subject
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    lines = ("New: 1 failed job(s)", f"job {JOB}", "remedy: see `show`", NOTICE)
    for line in (*lines, "Still: no worker is alive", "Over: no study from CT1"):
        assert line in text


def test_nothing_is_sent_in_the_clear_unasked() -> None:
    with mail_server() as box, pytest.raises(AlertError, match="alert test"):
        mailed(box.port)
    assert box.mails.empty()


def test_a_server_of_another_authority_gets_nothing(
    tmp_path: Path, context: ssl.SSLContext
) -> None:
    stranger = Authority(tmp_path, "Stranger")
    with mail_server(context) as box, pytest.raises(AlertError, match="CERTIFICATE"):
        mailed(box.port, ca=stranger.pem)
    assert box.mails.empty()


def test_a_wrong_password_is_told_and_not_shown(
    authority: Authority, context: ssl.SSLContext
) -> None:
    with mail_server(context) as box, pytest.raises(AlertError) as caught:
        mailed(box.port, ca=authority.pem, user=USER, password="wrong-planted")
    assert "alert.mail.user" in str(caught.value)
    assert "wrong-planted" not in str(caught.value)
    assert "wrong-planted" not in repr(Relay("h", 1, password="wrong-planted"))


def test_recipients_that_are_refused_are_an_error() -> None:
    with mail_server() as box:
        box.refuses = True
        with pytest.raises(AlertError, match="nobody here"):
            mailed(box.port, encryption="none")


def test_nobody_listens(free_port) -> None:
    with pytest.raises(AlertError, match=r"refused.*alert test"):
        mailed(free_port(), encryption="none")


def test_a_post_is_signed(authority: Authority, context: ssl.SSLContext) -> None:
    with web_server(context) as posts:
        url = f"https://localhost:{posts.port}/hook?token=planted"
        hook = Hook(url, "shared secret", authority.pem)
        WebhookChannel(hook, ORIGIN).send(DIGEST, NOON)
    headers, body = posts.bodies.get_nowait()
    assert headers[":path"] == "/hook?token=planted"
    stamp = headers["X-Dicomnode-Timestamp"]
    assert int(stamp) == NOON.timestamp()
    # As docs/operations.md tells the receiving side to check it.
    signed = hmac.new(b"shared secret", f"{stamp}.".encode() + body, hashlib.sha256)
    assert headers["X-Dicomnode-Signature"] == f"sha256={signed.hexdigest()}"
    record = json.loads(body)
    assert (record["node"], record["at"]) == ("AINODE", "2026-01-31T12:00:00Z")
    states = {one["key"]: one["state"] for one in record["alarms"]}
    assert states == {
        "jobs-failed": "RAISED",
        "no-worker": "STANDING",
        "silent:CT1": "CLEARED",
    }
    assert record["alarms"][0]["jobs"] == [JOB]


@pytest.mark.parametrize("status", [302, 401, 500])
def test_an_answer_that_is_no_success_is_an_error(status: int) -> None:
    with web_server() as posts:
        posts.status = status
        hook = Hook(f"http://127.0.0.1:{posts.port}/secret-path")
        with pytest.raises(AlertError, match=f"answers {status}") as caught:
            WebhookChannel(hook, ORIGIN).send(DIGEST, NOON)
    assert "secret-path" not in str(caught.value)
    assert posts.bodies.qsize() == 1
