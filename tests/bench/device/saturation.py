"""Images each second: the bare network, our batches, and one image alone."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from dicomnode.batching import Batcher
from dicomnode.predictor import BundleNetwork, batches_at_once
from model import bundle
from model.bundle.serve import Bundle, Prepared
from model.phantom import chest
from tests.bench import heavy
from tests.bench.device.steps import Steps, spread, timed


def saturation(steps: Steps) -> None:
    given = steps.given
    heavy_bundle = steps.heavy_bundle()
    for packed in (heavy.SHIPPED, heavy_bundle):
        for batch in sorted({given.batch, 4 * given.batch}):
            name = f"{packed.name}, batches of {batch}"
            if steps.has_time(name):
                rates(name, packed, batch, steps)
        if steps.has_time(f"{packed.name}, eager float32 and one image"):
            eager = bundle.load(packed, given.device)
            figure = bare(eager, prepared(eager, 1) * given.batch, given.seconds)
            steps.say(f"{packed.name}, eager float32, bare", f"{figure:.0f} images/s")
            alone(packed, steps)


def rates(name: str, packed: Path, batch: int, steps: Steps) -> None:
    given, say = steps.given, steps.say
    wanted = bundle.Wanted(batch_size=batch)
    ours = bundle.load(packed, given.device, running=wanted)
    say(f"{name}: runs", f"{ours.arithmetic}, graphs {ours.arithmetic.graphs}")
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


def alone(packed: Path, steps: Steps) -> None:
    ours = bundle.load(packed, steps.given.device, running=bundle.Wanted())
    plain = bundle.load(packed, steps.given.device)
    for name, one in (("what we run", ours), ("eager float32", plain)):
        image = prepared(one, 1)
        taken = timed(partial(one.infer, image), 50)
        steps.say(f"{packed.name}, one image, {name}", spread(taken))
