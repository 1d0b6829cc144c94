"""Every way to run a shipped network on the CPU beside the network as packed.

`python -m tests.bench ways [--threads 1 2] [--images labels.csv]`: processor and wall
time of one image and of a batch, in turns, so that noise hits all alike; the ratio is
of eager float32 as packed to this way. The bare network, without calibration and maps;
agreement is of whole predictions.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from model import bundle
from model.bundle.serve import Bundle
from tests.bench.device.agreement import chunks, differences, display_images

BUNDLES = Path(bundle.__file__).parents[1] / "bundles"
PACKED = "as packed, eager float32"
BATCH = 16


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench ways")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=20, help="runs of each")
    parser.add_argument(
        "--images", type=Path, help="labels.csv: agree on its validation images too"
    )
    given = parser.parse_args(words)
    images = list(display_images(None))
    images += [] if given.images is None else list(validation(given.images))
    for threads in given.threads:
        torch.set_num_threads(threads)
        for name, figure in measure(given.repeat, threads).items():
            print(f"{name:<74} {figure}", flush=True)
    for folder in folders():
        for name, figure in agreement(folder, images):
            print(f"{folder.name}, {name:<49} {figure}", flush=True)
    print("load average", *(f"{one:.1f}" for one in os.getloadavg()))
    return 0


def measure(repeat: int, threads: int = 0) -> dict[str, str]:
    """For each shipped bundle, each way, one image and a batch."""
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as cache:
        for folder in folders():
            plain, *others = loaded(folder, Path(cache), threads).items()
            for n_images in (1, BATCH):
                ways = {name: bare(one, n_images) for name, one in (plain, *others)}
                what = f"{folder.name}, {torch.get_num_threads()} threads, {n_images}"
                for name, figure in beside(ways, repeat).items():
                    found[f"{what}: {name}"] = figure
    return found


def loaded(folder: Path, cache: Path, threads: int = 0) -> dict[str, Bundle]:
    """The bundle as packed, then as each way runs it; what is refused is left out."""
    found = {PACKED: bundle.load(folder)}
    for name, wanted in wanted_ways(cache).items():
        one = bundle.load(folder, running=replace(wanted, threads=threads))
        if name == "auto" or name == str(one.arithmetic):
            found[f"{name}: {one.arithmetic}" if name == "auto" else name] = one
    return found


def wanted_ways(cache: Path) -> dict[str, bundle.Wanted]:
    """What the node runs by default first; then each runtime that is installed."""
    runners = bundle.Wanted(runner="auto").runners("cpu")
    others = {
        f"{name} float32": bundle.Wanted("float32", name, cache) for name in runners
    }
    return {"auto": bundle.Wanted(), **others}


def bare(one: Bundle, n_images: int) -> Callable[[], object]:
    engine = one.parts.engine
    side = engine.preset.size
    batch = torch.rand(n_images, 1, side, side)
    return lambda: (engine.runner or engine.network)(batch)


def beside(ways: dict[str, Callable[[], object]], repeat: int) -> dict[str, str]:
    """Each way in turns: medians of processor and wall, and the first one's to them."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with torch.inference_mode():
        for number in range(repeat + 3):
            for name, way in ways.items():
                start = time.process_time(), time.perf_counter()
                way()
                end = time.process_time(), time.perf_counter()
                if number > 2:  # the first ones warm caches and allocators
                    taken[name].append((end[0] - start[0], end[1] - start[1]))
    medians = {
        name: [statistics.median(one) * 1000 for one in zip(*found, strict=True)]
        for name, found in taken.items()
    }
    first = next(iter(medians.values()))
    return {
        name: f"processor {processor:.2f} ms, ratio {first[0] / processor:.2f};"
        f" wall {wall:.2f} ms, ratio {first[1] / wall:.2f}"
        for name, (processor, wall) in medians.items()
    }


def agreement(folder: Path, images: Sequence[np.ndarray]) -> Iterator[tuple[str, str]]:
    """How far each way moves a probability of the images, and what labels it turns."""
    with tempfile.TemporaryDirectory() as cache:
        ways = loaded(folder, Path(cache))
        plain = ways.pop(PACKED)
        expected = [one for chunk in chunks(images) for one in plain.predict(chunk)]
        for name, one in ways.items():
            said = [each for chunk in chunks(images) for each in one.predict(chunk)]
            moved, labels = differences(plain, expected, said)
            n_labels = len(images) * len(plain.description.labels)
            yield name, f"probability moves {moved:.2g}, labels {labels} of {n_labels}"


def validation(labels: Path) -> Iterator[np.ndarray]:
    """Display pixels of the images that a manifest keeps for validation."""
    with labels.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    for row in rows:
        with Image.open(labels.parent / row["file"]) as picture:
            grey = np.asarray(picture.convert("L"), np.float32)
        yield np.ascontiguousarray(grey / 255)


def folders() -> list[Path]:
    return sorted(path for path in BUNDLES.iterdir() if path.is_dir())
