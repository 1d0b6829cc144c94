"""From the last C-STORE response to the report in the PACS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydicom import dcmread

from dicomnode.delivery.storage_scu import StorageScu
from dicomnode.demo.minipacs import MiniPacs
from dicomnode.domain.delivery import Outgoing
from dicomnode.errors import DeliveryError
from dicomnode.processes.clock import SystemClock
from tests.bench.device.steps import Steps, spread
from tests.bench.device.whole import part10
from tests.bench.latency import legs, milliseconds
from tests.integration.rig import Node


class BenchNode(Node):
    """A node on a device, for machines without DCMTK."""

    def on(self, *changes: tuple[str, str]) -> None:
        text = self.config.read_text("utf-8")
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        self.config.write_text(text, "utf-8")

    def echoes(self) -> bool:
        try:
            StorageScu(self.as_peer("MODALITY"), SystemClock()).echo()
        except DeliveryError:
            return False
        return True

    def store(self, path: Path) -> None:
        ds = dcmread(path, stop_before_pixels=True)
        outgoing = Outgoing(
            path,
            str(ds.SOPClassUID),
            str(ds.SOPInstanceUID),
            str(ds.file_meta.TransferSyntaxUID),
        )
        scu = StorageScu(self.as_peer("MODALITY"), SystemClock())
        [sent] = scu.send([outgoing])
        assert sent.accepted, sent.error


def node(steps: Steps) -> None:
    """One radiograph of 2048 x 1792 at a time, then as many as there are, at once."""
    if not steps.has_time("a node on the device"):
        return
    given, folder, say = steps.given, steps.folder, steps.say
    with (
        MiniPacs(folder / "pacs", "ORTHANC") as pacs,
        on_device(folder, given.device, pacs.port) as it,
    ):
        files = [_file(folder, number, 2048, 1792) for number in range(given.studies)]
        rows = [_one(it, path) for path in files]
        for name, figure in legs(rows[3:]).items():
            say(f"one radiograph, {name}", figure)
        total = [milliseconds(r["completed_at"], r["sent_at"]) for r in rows[3:]]
        say("one radiograph, complete -> SR in the PACS", spread(total))
        many = [
            _file(folder, 1000 + number, 1024, 896) for number in range(given.studies)
        ]
        start = time.perf_counter()
        for path in many:
            it.store(path)
        it.settle([uid_of(path) for path in many])
        rate = len(many) / (time.perf_counter() - start) * 3600
        say("studies an hour at saturation, 1024 x 896", f"{rate:.0f}")


@contextmanager
def on_device(folder: Path, device: str, pacs_port: int) -> Iterator[BenchNode]:
    it = BenchNode(folder / "node", pacs_port, quiet_seconds=0.2)
    # What a node is by default, but for the poll of tests.
    it.on(
        ('device = "cpu"\nthreads = 1', f'device = "{device}"'),
        ("poll_seconds = 0.1", "poll_seconds = 1"),
    )
    with it.running():
        yield it


def _file(folder: Path, number: int, rows: int, columns: int) -> Path:
    path = folder / f"{number}.dcm"
    path.write_bytes(part10(number, rows, columns))
    return path


def uid_of(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).StudyInstanceUID)


def _one(it: BenchNode, path: Path) -> dict[str, str]:
    it.store(path)
    [row] = it.settle([uid_of(path)])
    assert row["outcome"] == "ANALYSED", row
    [sent_at] = [
        delivery["sent_at"]
        for delivery in it.views.deliveries(row["job_id"])
        if delivery["result_kind"] == "sr"
    ]
    return row | {"sent_at": sent_at}
