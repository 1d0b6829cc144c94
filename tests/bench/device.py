"""`python -m tests.bench device --device cuda`: the share of a GPU that we use.

How far each precision is from float32 on the CPU; images each second of the bare
network, of our batches, and of the whole way from file to findings; and the time from
the last C-STORE response to the report in the PACS. It runs with ``--device cpu`` too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.batching import Batcher
from dicomnode.decoder import DecodeLimits, DecoderPool
from dicomnode.delivery.storage_scu import StorageScu
from dicomnode.demo.minipacs import MiniPacs
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from dicomnode.domain.delivery import Outgoing
from dicomnode.domain.findings import NotAnalysed
from dicomnode.domain.instance import Instance
from dicomnode.errors import DeliveryError
from dicomnode.predictor import BundleNetwork, BundlePredictor, Site, batches_at_once
from dicomnode.processes.clock import SystemClock
from model import bundle
from model.bundle.arithmetic import WantedPrecision
from model.bundle.serve import Bundle, Prepared
from model.phantom import chest
from tests.bench import heavy
from tests.bench.latency import legs, milliseconds
from tests.integration.rig import Node

BUNDLES = heavy.SHIPPED.parent
PRECISIONS: tuple[WantedPrecision, ...] = ("auto", "bfloat16", "float16", "float32")
N_IMAGES, N_CHESTS = 64, 8
Say = Callable[[str, object], None]


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench device")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=16, help="images at once")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each rate")
    parser.add_argument("--studies", type=int, default=40, help="one after the other")
    parser.add_argument("--data", type=Path, help="folder of image files, to agree on")
    parser.add_argument("--only", choices=PARTS, action="append")
    given = parser.parse_args(words)
    found: dict[str, object] = {}

    def say(name: str, figure: object) -> None:
        found[name] = figure
        print(f"{name:<64} {figure}", flush=True)

    say("device", device_name(given.device))
    say("cores", os.cpu_count())
    with tempfile.TemporaryDirectory() as name:
        for part in given.only or PARTS:
            PARTS[part](given, Path(name), say)
    print(json.dumps({"device": found}))
    return 0


def device_name(device: str) -> str:
    if device == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    return torch.cuda.get_device_name(device)


# How far from float32 on the CPU


def agreement(given: argparse.Namespace, _folder: Path, say: Say) -> None:
    images = list(display_images(given.data))
    for folder in sorted(path for path in BUNDLES.iterdir() if path.is_dir()):
        plain = bundle.load(folder)
        expected = [one for chunk in chunks(images) for one in plain.predict(chunk)]
        for precision in PRECISIONS:
            wanted = bundle.Wanted(precision, batch_size=given.batch)
            start = time.perf_counter()
            ours = bundle.load(folder, given.device, running=wanted)
            seconds = time.perf_counter() - start
            said = [one for chunk in chunks(images) for one in ours.predict(chunk)]
            moved, labels = differences(plain, expected, said)
            how = ours.arithmetic
            say(
                f"{folder.name}, {precision}",
                f"{how}{' graphs' if how.graphs else ''}: probability moves"
                f" {moved:.2g}, labels change {labels} of"
                f" {len(images) * len(plain.description.labels)};"
                f" ready in {seconds:.1f} s; refused: {list(how.refused) or 'none'}",
            )


def display_images(data: Path | None) -> Iterator[np.ndarray]:
    """Phantoms in several orientations, and files of a folder, as display pixels."""
    for number in range(N_IMAGES):
        view = ("PA", "AP")[number % 2]
        image = chest(9000 + number, view=view, rows=320, columns=280)
        turned = np.rot90(image.astype(np.float32) / 4095, number % 4)
        yield np.ascontiguousarray(1 - turned if number % 7 == 0 else turned)
    if data is not None:
        from PIL import Image

        for path in sorted(data.rglob("*.png")) + sorted(data.rglob("*.jp*g")):
            with Image.open(path) as picture:
                grey = np.asarray(picture.convert("L"), np.float32)
            yield np.ascontiguousarray(grey / 255)


def chunks(images: Sequence[np.ndarray]) -> Iterator[Sequence[np.ndarray]]:
    for start in range(0, len(images), 16):
        yield images[start : start + 16]


def differences(
    plain: Bundle, expected: Sequence[bundle.Prediction], said: Sequence
) -> tuple[float, int]:
    """Largest difference of a probability, and how many labels are another."""
    moved, changed = 0.0, 0
    for one, other in zip(expected, said, strict=True):
        for label in plain.description.labels:
            was, is_ = one.probabilities[label.name], other.probabilities[label.name]
            moved = max(moved, abs(was - is_))
            point = label.operating_point
            changed += (was >= point) != (is_ >= point)
    return moved, changed


# Images each second


def saturation(given: argparse.Namespace, folder: Path, say: Say) -> None:
    heavy_bundle = heavy.pack(folder / "densenet121-320")
    for packed in (heavy.SHIPPED, heavy_bundle):
        for batch in sorted({given.batch, 4 * given.batch}):
            wanted = bundle.Wanted(batch_size=batch)
            ours = bundle.load(packed, given.device, running=wanted)
            name = f"{packed.name}, batches of {batch}"
            say(f"{name}: runs", f"{ours.arithmetic}, graphs {ours.arithmetic.graphs}")
            rates(name, ours, given, batch, say)
        eager = bundle.load(packed, given.device)
        figure = bare(eager, prepared(eager, 1) * given.batch, given.seconds)
        say(f"{packed.name}, eager float32, bare", f"{figure:.0f} images/s")
        alone(packed, given, say)


def rates(
    name: str, ours: Bundle, given: argparse.Namespace, batch: int, say: Say
) -> None:
    images = prepared(ours, batch)
    network = bare(ours, images, given.seconds)
    say(f"{name}: bare network, images on the device", f"{network:.0f} images/s")
    ours_alone = serial(ours, images, given.seconds)
    share = ours_alone / network
    say(f"{name}: batch after batch", f"{ours_alone:.0f} images/s, {share:.0%}")
    together = batched(ours, images, given, batch)
    share = together / network
    say(f"{name}: through the batcher", f"{together:.0f} images/s, {share:.0%}")


def prepared(ours: Bundle, number: int) -> list[Prepared]:
    pictures = [
        chest(n, view="PA", rows=512, columns=448).astype(np.float32) / 4095
        for n in range(min(4, number))
    ]
    return [ours.prepare(pictures[n % len(pictures)]) for n in range(number)]


def bare(ours: Bundle, images: Sequence[Prepared], seconds: float) -> float:
    """The network alone, again and again on a batch that lies on the device."""
    engine = ours.parts.engine
    batch = torch.stack([one.canvas for one in images]).to(engine.device)
    run = engine.runner or engine.network

    def ended() -> None:
        if engine.device.type == "cuda":
            torch.cuda.synchronize()

    with torch.inference_mode():
        for _ in range(3):
            run(batch)
        ended()
        start, n = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            for _ in range(8):
                run(batch)
                n += len(images)
            ended()
        return n / (time.perf_counter() - start)


def serial(ours: Bundle, images: Sequence[Prepared], seconds: float) -> float:
    ours.infer(images)
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        n += len(ours.infer(images))
    return n / (time.perf_counter() - start)


def batched(
    ours: Bundle, images: Sequence[Prepared], given: argparse.Namespace, batch: int
) -> float:
    """As the worker: images of several studies through one batcher."""
    network = _Prepared(ours, given.device)
    n_at_once = batches_at_once(given.device)
    batcher = Batcher(batch, 0.005, n_at_once=n_at_once)
    start = time.perf_counter()

    def study() -> int:
        n = 0
        while time.perf_counter() - start < given.seconds:
            with batcher.lane(network, len(images), 0) as lane:
                asked = [lane.submit(one) for one in images]
            for one in asked:
                one.result()
            n += len(asked)
        return n

    with ThreadPoolExecutor(2 * n_at_once + 1) as pool:
        total = sum(pool.map(lambda _: study(), range(2 * n_at_once + 1)))
    elapsed = time.perf_counter() - start
    batcher.close()
    return total / elapsed


class _Prepared(BundleNetwork):
    """Its images are prepared already: what is timed is batching and the device."""

    def prepare(self, image: Prepared) -> Prepared:
        return image


def alone(packed: Path, given: argparse.Namespace, say: Say) -> None:
    ours = bundle.load(packed, given.device, running=bundle.Wanted())
    plain = bundle.load(packed, given.device)
    for name, one in (("what we run", ours), ("eager float32", plain)):
        image = prepared(one, 1)
        taken = timed(partial(one.infer, image), 50)
        say(f"{packed.name}, one image, {name}", spread(taken))


def timed(deed: Callable[[], object], number: int) -> list[float]:
    for _ in range(3):
        deed()
    taken = []
    for _ in range(number):
        start = time.perf_counter()
        deed()
        taken.append((time.perf_counter() - start) * 1000)
    return taken


def spread(milliseconds_: Sequence[float]) -> str:
    ordered = sorted(milliseconds_)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    return f"p50 {statistics.median(ordered):.1f} ms, p99 {p99:.1f} ms"


# From file to findings


def whole(given: argparse.Namespace, folder: Path, say: Say) -> None:
    """Decode, prepare, batch, infer and read the answer, of many studies at once."""
    packed = folder / "densenet121-320"
    heavy_bundle = packed if packed.exists() else heavy.pack(packed)
    for rows, columns in ((1024, 896), (2048, 1792)):
        files = [part10(number, rows, columns) for number in range(16)]
        for one in (heavy.SHIPPED, heavy_bundle):
            name = f"{one.name}, {rows} x {columns}: file to findings"
            figure = file_to_findings(one, files, given)
            say(name, f"{figure:.0f} images/s")


def file_to_findings(
    packed: Path, files: Sequence[bytes], given: argparse.Namespace
) -> float:
    cores = os.cpu_count() or 1
    n_threads = max(4, 2 * cores)
    with DecoderPool(DecodeLimits(), min(cores, 16)) as decoder:
        batcher = Batcher(
            given.batch,
            0.005,
            n_at_once=batches_at_once(given.device),
            n_preparing=max(1, cores // 2) if given.device != "cpu" else 1,
        )
        if given.device != "cpu":
            torch.set_num_threads(1)
        predictor = BundlePredictor(
            packed,
            given.device,
            site=Site(running=bundle.Wanted(batch_size=given.batch)),
            decoder=decoder,
            batcher=batcher,
        )
        instance = instance_of(files[0])
        start = [0.0]

        def studies(until: float, number: int) -> int:
            n = 0
            while time.perf_counter() < until:
                content = files[(number + n) % len(files)]
                [answer] = predictor.predict([(instance, BytesIO(content))])
                if isinstance(answer, NotAnalysed) and "domain" not in answer.reason:
                    raise AssertionError(answer.reason)
                n += 1
            return n

        with ThreadPoolExecutor(n_threads) as pool:
            warm = time.perf_counter() + 1.5
            wait([pool.submit(studies, warm, n) for n in range(n_threads)])
            start[0] = time.perf_counter()
            until = start[0] + given.seconds
            going = [pool.submit(studies, until, n) for n in range(n_threads)]
            total = sum(one.result() for one in going)
        elapsed = time.perf_counter() - start[0]
        batcher.close()
        return total / elapsed


def part10(number: int, rows: int, columns: int) -> bytes:
    order = Order(number, "PHANTOM^BENCH", "O", datetime.now(UTC))
    exposure = Exposure(_chest(number % N_CHESTS, rows, columns))
    return encoded(digital_radiograph(order, exposure), ExplicitVRLittleEndian)


@cache
def _chest(number: int, rows: int, columns: int) -> np.ndarray:
    return chest(number, view="PA", rows=rows, columns=columns)


def instance_of(content: bytes) -> Instance:
    ds = dcmread(BytesIO(content), stop_before_pixels=True)
    return Instance(
        series_instance_uid=str(ds.SeriesInstanceUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        sop_class_uid=str(ds.SOPClassUID),
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        location="",
    )


# From the last C-STORE response to the report in the PACS


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


def node(given: argparse.Namespace, folder: Path, say: Say) -> None:
    """One radiograph of 2048 x 1792 at a time, then as many as there are, at once."""
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


PARTS: dict[str, Callable[[argparse.Namespace, Path, Say], None]] = {
    "agreement": agreement,
    "saturation": saturation,
    "whole": whole,
    "node": node,
}

if __name__ == "__main__":  # also where not every bench has what it needs
    sys.exit(main(sys.argv[1:]))
