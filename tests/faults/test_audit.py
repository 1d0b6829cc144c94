"""Row 55: a full log disk and an absent syslog target do not stop the node.

What could not be written or sent waits and follows in order.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicomnode.audit.journal import Journal, Position
from dicomnode.demo.program import wait_until
from dicomnode.domain.instance import InstanceKey
from tests.conftest import unavailable
from tests.integration.audit_schema import checked, event_id
from tests.integration.collector import Collector, authority, server_context
from tests.integration.receiving import Sample, associated, status
from tests.integration.test_receive import dataset, encoded

HANG_SECONDS = 300
"""A hung test must end; nothing is asserted about speed."""

CONFIG = """
[node]
data_dir = "var"

[store]
watermark_percent = 100

[receiver]
host = "127.0.0.1"
port = {port}

[[peer]]
ae_title = "MODALITY"
hosts = ["127.0.0.1"]

[audit]
{audit}
"""
BEGUN, ENDED, STARTED, STOPPED = "110102", "110104", "110100", "110100"
ATTACHED, ALERT = "110108", "110113"


@contextmanager
def receiver(
    folder: Path, port: int, audit: str, wrapped: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """`dicomnode receive` on a port; ``wrapped`` is shell that execs "$@"."""
    config = folder / "config.toml"
    config.write_text(CONFIG.format(port=port, audit=audit))
    argv = [sys.executable, "-m", "dicomnode", "receive", "--config", str(config)]
    if wrapped:
        argv = ["unshare", "-Urm", "sh", "-c", wrapped, "sh", *argv]
    with (folder / "receiver.log").open("ab") as log:
        environ = {**os.environ, "PYTHONPATH": os.getcwd()}
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=environ)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until the receiver accepts associations."""

    def accepted() -> bool:
        with associated(port, held=False) as association:
            return bool(association.is_established)

    def alive() -> None:
        assert process.poll() is None, "the receiver has ended"

    assert wait_until(accepted, alive, HANG_SECONDS)


def store(port: int, *samples: Sample) -> list[int]:
    with associated(port, {one.context for one in samples}) as association:
        return [status(association, one) for one in samples]


def of_study(number: int) -> Sample:
    """An instance of a study of its own."""
    ds = dataset()
    ds.StudyInstanceUID, uid = f"1.2.3.4.{number}", f"1.2.3.4.5.6.{number}"
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, uid
    syntax = ExplicitVRLittleEndian
    key = InstanceKey(ds.StudyInstanceUID, "1.2.3.4.5", uid, CTImageStorage, syntax)
    return Sample("made", key, encoded(ds, syntax))


def events_of(lines: list[bytes]) -> list[str]:
    return [event_id(checked(one.split(b" - ", 1)[1].decode())) for one in lines]


def wait_for(ready, process: subprocess.Popen[bytes]) -> None:
    def alive() -> None:
        assert process.poll() is None, "the receiver has ended"

    assert wait_until(ready, alive, HANG_SECONDS)


def test_55_messages_wait_for_an_absent_syslog_target_and_follow_in_order(
    tmp_path: Path, free_port
) -> None:
    signer = authority(tmp_path)
    port, collector_port = free_port(), free_port()
    audit = (
        f'[audit.syslog]\nhost = "127.0.0.1"\nport = {collector_port}\n'
        f'ca = "{signer.ca}"\ntimeout_seconds = {HANG_SECONDS}\n'
    )
    trail = Journal(tmp_path / "var" / "audit", 10_000_000)
    with receiver(tmp_path, port, audit) as process:
        answers(port, process)
        assert store(port, of_study(1), of_study(2)) == [0, 0]
        # Killed with the messages of the transfers on disk and nobody to send them to.
        wait_for(
            lambda: events_of(trail.read(Position(), 99)[0]).count(BEGUN) == 2, process
        )
        process.kill()
        process.wait()
    written, _ = trail.read(Position(), 99)
    with (
        Collector(server_context(signer), collector_port) as collector,
        receiver(tmp_path, port, audit) as process,
    ):
        answers(port, process)
        arrived = collector.wait_for(len(written) + 2)
        assert arrived[: len(written)] == written
        assert store(port, of_study(3)) == [0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_SECONDS) == 0
        # The stop itself is sent before the process ends.
        assert collector.messages == trail.read(Position(), 99)[0]
    found = events_of(collector.messages)
    assert found[0] == STARTED
    assert found[-1] == STOPPED
    assert found.count(BEGUN) == 3
    assert found.count(ENDED) == 1, "the two of the killed process have no end"
    assert found.count(ATTACHED) == 3


def test_55_a_full_log_disk_does_not_stop_the_node(tmp_path: Path, free_port) -> None:
    """Audit trail and log lie on one small file system, and that is full."""
    probe = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
    if subprocess.run(probe, capture_output=True).returncode != 0:
        unavailable("no private mounts: needs unshare with user namespaces")
    disk = tmp_path / "logs"
    disk.mkdir()
    port = free_port()
    wrapped = f'mount -t tmpfs -o size=256k none {disk} && exec "$@" >{disk}/log 2>&1'
    with receiver(tmp_path, port, f'folder = "{disk}/audit"', wrapped) as process:
        answers(port, process)
        inside = Path(f"/proc/{process.pid}/root{disk}")
        trail = Journal(inside / "audit", 10_000_000)
        wait_for(lambda: STARTED in events_of(trail.read(Position(), 99)[0]), process)
        fill(inside / "filler")
        # Longer than a page that may be half empty: these lines find no room.
        for number in range(20):
            assert store(port, of_study(number)) == [0]
        before = events_of(trail.read(Position(), 999)[0])
        assert before.count(BEGUN) < 20
        (inside / "filler").unlink()
        wait_for(
            lambda: events_of(trail.read(Position(), 999)[0]).count(ENDED) == 20,
            process,
        )
        process.send_signal(signal.SIGTERM)
        process.wait(HANG_SECONDS)
        assert process.returncode == 0
    kept = list((tmp_path / "var" / "instances").rglob("*.dcm"))
    assert len(kept) == 20


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)


def test_a_refused_association_is_a_security_alert(tmp_path: Path, free_port) -> None:
    port = free_port()
    with receiver(tmp_path, port, "") as process:
        answers(port, process)
        with associated(port, calling="STRANGER", held=False) as association:
            assert association.is_rejected
        trail = Journal(tmp_path / "var" / "audit", 10_000_000)
        wait_for(lambda: ALERT in events_of(trail.read(Position(), 99)[0]), process)
    lines, _ = trail.read(Position(), 99)
    (alert,) = (line for line in lines if b'"110113"' in line)
    assert b"STRANGER" in alert
    assert re.search(rb'"110126"', alert)


def test_a_changed_configuration_is_a_security_alert(tmp_path: Path, free_port) -> None:
    port = free_port()
    trail = Journal(tmp_path / "var" / "audit", 10_000_000)
    for audit in ("", 'site_id = "North"'):
        with receiver(tmp_path, port, audit) as process:
            answers(port, process)
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANG_SECONDS) == 0
    lines, _ = trail.read(Position(), 99)
    (alert,) = (line for line in lines if b'"110113"' in line)
    assert b'"110129"' in alert, "Security Configuration"
    assert b'AuditEnterpriseSiteID="North"' in alert
