"""From file to findings: decode, prepare, batch, infer and read the answer."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian

from dicomnode.batching import Batcher
from dicomnode.decoder import DecodeLimits, DecoderPool
from dicomnode.demo.phantoms import Exposure, Order, digital_radiograph, encoded
from dicomnode.domain.findings import NotAnalysed
from dicomnode.domain.instance import Instance
from dicomnode.predictor import BundlePredictor, Site, batches_at_once
from model import bundle
from model.phantom import chest
from tests.bench import heavy
from tests.bench.device.steps import Steps

N_CHESTS, _ENLARGED = 8, 4


def whole(steps: Steps) -> None:
    """Of many studies at once, for a light and a heavy network."""
    heavy_bundle = steps.heavy_bundle()
    for rows, columns in ((2048, 1792), (1024, 896)):
        files = [part10(number, rows, columns) for number in range(16)]
        for one in (heavy.SHIPPED, heavy_bundle):
            name = f"{one.name}, {rows} x {columns}: file to findings"
            if not steps.has_time(name):
                continue
            rate, seconds = file_to_findings(one, files, steps.given)
            steps.say(
                name,
                f"{rate:.0f} images/s, {1000 * seconds:.1f} ms an image of the"
                " worker's own processor time",
            )


def file_to_findings(
    packed: Path, files: Sequence[bytes], given: argparse.Namespace
) -> tuple[float, float]:
    """Images each second, and the processor seconds of this process for each."""
    n_threads = max(4, 2 * _cores())
    with predictor_of(packed, given) as predictor:
        instance = instance_of(files[0])

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
            start, used = time.perf_counter(), time.process_time()
            until = start + given.seconds
            going = [pool.submit(studies, until, n) for n in range(n_threads)]
            total = sum(one.result() for one in going)
        elapsed = time.perf_counter() - start
        return total / elapsed, (time.process_time() - used) / total


@contextmanager
def predictor_of(packed: Path, given: argparse.Namespace) -> Iterator[BundlePredictor]:
    """As a worker has it: decoder processes, and one batcher for all threads."""
    on_gpu = given.device != "cpu"
    if on_gpu:
        torch.set_num_threads(1)
    with DecoderPool(DecodeLimits(), min(_cores(), 16)) as decoder:
        batcher = Batcher(
            given.batch,
            0.005,
            n_at_once=batches_at_once(given.device),
            n_preparing=max(1, _cores() // 2) if on_gpu else 1,
        )
        yield BundlePredictor(
            packed,
            given.device,
            site=Site(running=bundle.Wanted(batch_size=given.batch)),
            decoder=decoder,
            batcher=batcher,
        )
        batcher.close()


def _cores() -> int:
    return os.cpu_count() or 1


def part10(number: int, rows: int, columns: int) -> bytes:
    order = Order(number, "PHANTOM^BENCH", "O", datetime.now(UTC))
    exposure = Exposure(_chest(number % N_CHESTS, rows, columns))
    return encoded(digital_radiograph(order, exposure), ExplicitVRLittleEndian)


@cache
def _chest(number: int, rows: int, columns: int) -> np.ndarray:
    """Drawn small and enlarged: a phantom of this size takes seconds to draw."""
    small = chest(
        number, view="PA", rows=rows // _ENLARGED, columns=columns // _ENLARGED
    )
    return small.repeat(_ENLARGED, 0).repeat(_ENLARGED, 1)


def instance_of(content: bytes) -> Instance:
    ds = dcmread(BytesIO(content), stop_before_pixels=True)
    return Instance(
        series_instance_uid=str(ds.SeriesInstanceUID),
        sop_instance_uid=str(ds.SOPInstanceUID),
        sop_class_uid=str(ds.SOPClassUID),
        transfer_syntax_uid=str(ExplicitVRLittleEndian),
        location="",
    )
