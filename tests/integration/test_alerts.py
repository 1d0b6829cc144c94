"""A running keeper tells of what is wrong and of its end; `alert test` tries it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicomnode import config
from dicomnode.demo.program import Program
from dicomnode.errors import ConfigError
from dicomnode.health.alarms import short_hash
from dicomnode.worklist import Worklist, open_worklist, upgrade
from tests.contract.worklist.making import (
    SECRET,
    STUDY,
    claimed,
    finished,
    new_result,
    received,
)
from tests.integration.alert_servers import mail_server, web_server

CONFIG = """
[store]
watermark_percent = 100

[[peer]]
ae_title = "CT1"
hosts = ["127.0.0.1"]
silent_after_minutes = 60

[[destination]]
name = "PACS"
ae_title = "PACS"
host = "127.0.0.1"
port = 1

[keep]
interval_seconds = 0.2

[audit]
enabled = false

[alert]
interval_seconds = 0.1
digest_minutes = 0
disk_percent = 100

[alert.mail]
host = "127.0.0.1"
port = {mail_port}
encryption = "none"
sender = "node@hospital.test"
recipients = ["pacs@hospital.test"]

[alert.webhook]
url = "http://127.0.0.1:{port}/"
"""
OTHER = f"{STUDY}.2"
SILENT = f"{STUDY}.3"


class Site:
    """A data folder with a configuration, and a keeper in it."""

    def __init__(self, folder: Path, mail_port: int, port: int) -> None:
        self.folder = folder
        text = CONFIG.format(mail_port=mail_port, port=port)
        (folder / "config.toml").write_text(text)
        (folder / "var").mkdir()
        self.url = f"sqlite:///{folder / 'var' / 'worklist.db'}"
        upgrade(self.url)

    def argv(self, *words: str) -> list[str]:
        config = str(self.folder / "config.toml")
        return [sys.executable, "-m", "dicomnode", *words, "--config", config]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*words), capture_output=True, text=True)

    def keeping(self) -> Program:
        log = self.folder / "keep.log"
        return Program("keep", self.argv("keep"), log, dict(os.environ))


@pytest.fixture
def worklist_of() -> Iterator[Callable[[Site], Worklist]]:
    opened: list[Worklist] = []

    def open_(site: Site) -> Worklist:
        opened.append(open_worklist(site.url))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def test_the_keeper_tells_of_it_and_that_it_is_over(
    tmp_path: Path, free_port: Callable[[], int], worklist_of
) -> None:
    now = datetime.now(UTC)
    with web_server() as posts:
        # Nobody listens where mails go: that harms neither the node nor the webhook.
        site = Site(tmp_path, free_port(), posts.port)
        worklist = worklist_of(site)
        job = claimed(worklist, STUDY, now)
        worklist.jobs.fail(job, "no pixels; send the image again", None, now)
        long_ago = now - timedelta(hours=2)
        finished(worklist, new_result(1, "PACS", study=OTHER), study=OTHER, at=long_ago)
        (delivery,) = worklist.outbox.due("PACS", long_ago, 60, 9)
        worklist.outbox.postpone(
            delivery, None, "PACS does not answer; see echo", now, now
        )
        instance = received(study=SILENT, at=long_ago, calling_ae_title="CT1")
        worklist.intake.record(instance)
        with site.keeping():
            told: dict[str, str] = {}
            seen = b""
            while not {"jobs-failed", "destination-down:PACS"} <= set(told):
                _, body = posts.bodies.get(timeout=300)
                seen += body
                told |= {one["key"]: one["what"] for one in json.loads(body)["alarms"]}
            assert f"{job.job_id} st:{short_hash(STUDY)}".encode() in seen
            for planted in (SECRET, STUDY, "4711"):
                assert planted.encode() not in seen
            worklist.desk.retry_job(job.job_id, datetime.now(UTC), "ann")
            over: dict[str, str] = {}
            while over.get("jobs-failed") != "CLEARED":
                alarms = posts.take()["alarms"]
                over |= {one["key"]: one["state"] for one in alarms}
            status = site.run("status")
            assert status.returncode == 3
            assert "alerts by mail cannot be sent" in status.stdout
            assert "dicomnode alert test" in status.stdout
            events = site.run("tail", "--json", "-n", "500")
            kinds = [json.loads(line)["kind"] for line in events.stdout.splitlines()]
            assert kinds.count("alert fail") == 1
            assert "alert send" in kinds


def test_a_sender_falls_silent_and_speaks_again(tmp_path: Path, worklist_of) -> None:
    now = datetime.now(UTC)
    with web_server() as posts, mail_server() as box:
        site = Site(tmp_path, box.port, posts.port)
        worklist = worklist_of(site)
        instance = received(study=SILENT, at=now - timedelta(hours=2))
        worklist.intake.record(instance)
        with site.keeping():
            (alarm,) = posts.take()["alarms"]
            assert (alarm["key"], alarm["state"]) == ("silent:CT1", "RAISED")
            mail = box.mails.get(timeout=300)
            assert mail["Subject"].endswith("no study from CT1")
            worklist.intake.record(received(study=OTHER, at=datetime.now(UTC)))
            (alarm,) = posts.take()["alarms"]
            assert (alarm["key"], alarm["state"]) == ("silent:CT1", "CLEARED")
            assert box.mails.get(timeout=300)["Subject"].endswith("CT1: over")


def test_alert_test_tries_each_channel(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    with mail_server() as box:
        site = Site(tmp_path, box.port, free_port())
        ended = site.run("alert", "test")
    assert ended.returncode == 1
    assert "mail       sent" in ended.stdout
    assert "webhook    127.0.0.1 takes no alert" in ended.stdout
    assert "test of the alerts" in box.mails.get_nowait().get_content()
    listed = site.run("alert", "list")
    assert (listed.returncode, listed.stdout) == (0, "no alarm\n")


def test_alert_test_without_a_channel_says_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    argv = [sys.executable, "-m", "dicomnode", "alert", "test", "--config"]
    ended = subprocess.run(
        [*argv, str(tmp_path / "config.toml")], capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert "alert.mail.host" in ended.stderr


@pytest.mark.parametrize(
    ("lines", "remedy"),
    [
        ('[alert.mail]\nhost = "mail.test"', "sender and recipients"),
        (
            '[alert.mail]\nhost = "mail.test"\nsender = "a@b.test"\n'
            'recipients = ["a@b.test"]\nuser = "a"\nencryption = "none"',
            "starttls",
        ),
        ('[alert.mail]\nsender = "a\\nBcc: b@c.test"', "mail address"),
        ('[alert.webhook]\nurl = "http://hooks.test/token-planted"', "https://"),
        (
            '[[peer]]\nae_title = "A"\nhosts = ["a"]\nsilent_hours = "always"',
            "mon-fri 07:00-19:00",
        ),
    ],
)
def test_a_mistake_is_told_with_its_remedy(
    tmp_path: Path, lines: str, remedy: str
) -> None:
    (tmp_path / "config.toml").write_text(lines)
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "config.toml", environ={})
    assert remedy in str(caught.value)
    assert "token-planted" not in str(caught.value)
