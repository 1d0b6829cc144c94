"""`dicomnode top` on a real terminal, and without one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dicomnode.domain.job import Worker
from dicomnode.health.activity import Activity
from dicomnode.worklist import Worklist, open_worklist, upgrade
from tests.contract.worklist.making import (
    SECRET,
    claimed,
    finished,
    new_result,
    received,
)

ROWS, COLUMNS = 50, 160
ALTERNATE, NORMAL = b"\x1b[?1049h", b"\x1b[?1049l"
HANG_SECONDS = 300
UID = "1.2.826.0.1.3680043.8.498."


@pytest.fixture
def worklist(tmp_path: Path) -> Iterator[Worklist]:
    (tmp_path / "config.toml").write_text("[store]\nwatermark_percent = 100\n")
    url = f"sqlite:///{tmp_path / 'var' / 'worklist.db'}"
    (tmp_path / "var").mkdir()
    upgrade(url)
    with open_worklist(url) as opened:
        yield opened


def fill(worklist: Worklist) -> None:
    now = datetime.now(UTC)
    for number in range(3):
        job = claimed(worklist, f"{UID}{number + 1}", now)
        worklist.jobs.fail(job, f"bad image {number}; send it again", None, now)
    finished(worklist, new_result(1, "PACS", study=f"{UID}8"), study=f"{UID}8", at=now)
    (delivery,) = worklist.outbox.due("PACS", now, 60, 9)
    later = now + timedelta(minutes=5)
    worklist.outbox.postpone(delivery, 0xA700, "out of resources", later, now)
    job = claimed(worklist, f"{UID}9", now, worker="w9")
    worker = Worker("w9", "h", "cpu", "b 1.0.0", "BUSY", job.job_id, now)
    worklist.jobs.heartbeat(worker)


class Screen:
    """A program on a terminal of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.master, slave = pty.openpty()
        size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        self.slave = slave
        self.before = termios.tcgetattr(slave)
        environ = {**os.environ, "TERM": "xterm-256color"}
        # What others say of their terminal is not true of this one.
        for name in ("NO_COLOR", "COLUMNS", "LINES"):
            environ.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dicomnode", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=environ,
            start_new_session=True,
        )
        self.seen = b""

    def until(self, text: bytes) -> bytes:
        """Read until ``text`` is shown after what was shown before."""
        start = len(self.seen)
        while text not in self.seen[start:]:
            shown, _, _ = select.select([self.master], [], [], HANG_SECONDS)
            assert shown, f"{text!r} did not come: {self.seen!r} {self.process.poll()}"
            self.seen += os.read(self.master, 65536)
        return self.seen[start:]

    def press(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def ended(self) -> int:
        """Its exit code; whoever writes to a terminal that nobody reads never ends."""
        code = None
        while code is None or select.select([self.master], [], [], 0)[0]:
            if select.select([self.master], [], [], 0.05)[0]:
                self.seen += os.read(self.master, 65536)
            code = self.process.poll()
        return code


@contextmanager
def screen(folder: Path, *words: str) -> Iterator[Screen]:
    one = Screen(folder, *words)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait()
        os.close(one.master)
        os.close(one.slave)


def test_it_lives_on_a_terminal_and_gives_it_back(
    worklist: Worklist, tmp_path: Path
) -> None:
    fill(worklist)
    with screen(tmp_path, "top") as shown:
        first = shown.until(b"why, and what to do")
        assert ALTERNATE in first
        for words in (b"Research use only", b"FAILED 3", b"out of resources", b"w9"):
            assert words in first
        worklist.intake.record(received(study=f"{UID}77", at=datetime.now(UTC)))
        shown.until(b"RECEIVING 1")
        shown.press(b"\x1b[B")
        shown.until(b"2 to 3 of 3")
        shown.press(b"p")
        shown.until(b"PAUSED")
        shown.press(b"q")
        assert shown.ended() == 0
        assert NORMAL in shown.seen
        assert termios.tcgetattr(shown.slave) == shown.before
        assert SECRET.encode() not in shown.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_gives_the_terminal_back_too(
    worklist: Worklist, tmp_path: Path, number: signal.Signals
) -> None:
    with screen(tmp_path, "top") as shown:
        shown.until(b"q quit")
        shown.process.send_signal(number)
        assert shown.ended() == 0
        assert NORMAL in shown.seen
        assert termios.tcgetattr(shown.slave) == shown.before


def test_without_a_terminal_it_prints_one_frame(
    worklist: Worklist, tmp_path: Path
) -> None:
    fill(worklist)
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dicomnode", "top"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "140"},
    )
    assert ended.returncode == 0
    assert "\x1b" not in ended.stdout
    assert "Research use only" in ended.stdout
    assert re.search(r"PACS +PENDING +1 .*Z +out of resources", ended.stdout)
    assert "dicomnode retry" in ended.stdout
    assert "FAILED 3" in ended.stdout
    assert not re.search(r"\btorch\b|sqlalchemy", ended.stderr)


def test_nothing_is_asked_while_nothing_changes(
    worklist: Worklist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dicomnode import config
    from dicomnode.cli import screen
    from dicomnode.cli.reading import opened_views

    monkeypatch.setattr(screen, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(screen, "_SHARE", 0)
    loaded = config.load(tmp_path / "config.toml", environ={})
    with opened_views(loaded) as views:
        watch = screen.Watch(views, loaded)
        first = watch.shot()
        assert watch.shot().senders is first.senders
        worklist.intake.record(received(at=datetime.now(UTC)))
        second = watch.shot()
    assert [row["n_studies"] for row in second.senders] == [1]
    assert second.activity.images_per_second(datetime.now(UTC), "CT1") > 0


def test_rates_are_of_the_last_minute() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    activity = Activity()

    def study(number: int) -> list[dict[str, object]]:
        one = {"study_instance_uid": UID, "calling_ae_title": "CT1"}
        return [{**one, "n_instances": number}]

    activity.see_studies(study(100), noon)
    assert activity.images_per_second(noon) == 0
    activity.see_studies(study(160), noon + timedelta(seconds=10))
    assert activity.images_per_second(noon + timedelta(seconds=11), "CT1") == 1
    assert activity.images_per_second(noon + timedelta(seconds=71)) == 0
    job = {"job_id": "j", "at": noon.isoformat()}
    activity.see_events(
        [
            {**job, "kind": "job claim", "detail": "attempt 1 by w1"},
            {**job, "kind": "job finish", "detail": "ANALYSED: "},
        ]
    )
    assert activity.jobs_per_minute(noon, "w1") == 1
    assert activity.jobs_per_minute(noon, "w2") == 0
