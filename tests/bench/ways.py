"""Every way to run a shipped network on the CPU beside the network as packed.

`python -m tests.bench ways [--threads 1 2] [--images labels.csv]`: processor and wall
time of one image and of a batch, in turns, so that noise hits all alike, each way in a
process of its own, as a worker has it; the ratio is of eager float32 as packed to this
way, the median over the turns. The bare network, without calibration and maps;
agreement is of whole predictions. `--isa AVX2` (or another of oneDNN's names) shows a
processor without bfloat16. With `--keep-memory` the allocator gives none back to the
system; without it, eager batches of some sizes ask for it anew each time, as the page
faults tell.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from model import bundle
from model.bundle.serve import Bundle
from tests.bench import one_way
from tests.bench.device.agreement import chunks, differences, display_images

BUNDLES = Path(bundle.__file__).parents[1] / "bundles"
PACKED = "as packed, eager float32"
BATCH = 16
_WARM = 3
_MUCH = str(1 << 30)
KEEPING = {"MALLOC_MMAP_THRESHOLD_": _MUCH, "MALLOC_TRIM_THRESHOLD_": _MUCH}


class Taken(NamedTuple):
    """By one run: seconds, and how often the system had to give a page."""

    processor: float
    wall: float
    faults: float


def main(words: Sequence[str] = ()) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench ways")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=20, help="runs of each")
    parser.add_argument(
        "--images", type=Path, help="labels.csv: agree on its validation images too"
    )
    parser.add_argument("--isa", help="the most that oneDNN may use: AVX2, AVX512_CORE")
    parser.add_argument("--keep-memory", action="store_true")
    given = parser.parse_args(words)
    wanted = environment(given.isa, keep_memory=given.keep_memory)
    if not wanted.items() <= os.environ.items():  # are read before the first product
        command = [sys.executable, "-m", "tests.bench", "ways", *words]
        return subprocess.call(command, env=os.environ | wanted)
    images = list(display_images(None))
    images += [] if given.images is None else list(validation(given.images))
    for threads in given.threads:
        for name, figure in measure(given.repeat, threads).items():
            print(f"{name:<74} {figure}", flush=True)
    for folder in folders():
        for name, figure in agreement(folder, images):
            print(f"{folder.name}, {name:<49} {figure}", flush=True)
    print("load average", *(f"{one:.1f}" for one in os.getloadavg()))
    return 0


def environment(isa: str | None, *, keep_memory: bool) -> dict[str, str]:
    """Variables of oneDNN's, torch's own kernels and the allocator's."""
    found = dict(KEEPING) if keep_memory else {}
    if isa:
        found["ONEDNN_MAX_CPU_ISA"] = isa.upper()
        has_wide = isa.upper().startswith("AVX512")
        found["ATEN_CPU_CAPABILITY"] = "avx512" if has_wide else "avx2"
    return found


def measure(repeat: int, threads: int = 0) -> dict[str, str]:
    """For each shipped bundle, each way, one image and a batch.

    threads: of the CPU, 0 for all.
    """
    found: dict[str, str] = {}
    threads = threads or os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as cache:
        for folder in folders():
            with opened(folder, Path(cache), threads) as ways:
                for n_images in (1, BATCH):
                    what = f"{folder.name}, {threads} threads, {n_images}"
                    for name, figure in beside(ways, n_images, repeat).items():
                        found[f"{what}: {name}"] = figure
    return found


@dataclass(frozen=True)
class Way:
    """One way at work in its process."""

    arithmetic: str
    process: subprocess.Popen[str]

    def run(self, n_images: int) -> Taken:
        asked, answers = self.process.stdin, self.process.stdout
        assert asked is not None
        assert answers is not None
        print(n_images, file=asked, flush=True)
        return Taken(*json.loads(answers.readline()))


@contextmanager
def opened(folder: Path, cache: Path, threads: int) -> Iterator[dict[str, Way]]:
    """The network as packed, then as each way runs it; what is refused is left out."""
    with ExitStack() as stack:
        found = {}
        for name, precision, runner in asked():
            words = (str(folder), precision, runner, str(cache), str(threads))
            one = stack.enter_context(started(words))
            if name == "auto" or name in (PACKED, one.arithmetic):
                found[f"{name}: {one.arithmetic}" if name == "auto" else name] = one
        yield found


def asked() -> Iterator[tuple[str, str, str]]:
    """Name, precision and runner."""
    yield PACKED, "float32", one_way.PACKED
    for name, wanted in wanted_ways(None).items():
        yield name, wanted.precision, wanted.runner


@contextmanager
def started(words: Sequence[str]) -> Iterator[Way]:
    command = [sys.executable, "-m", "tests.bench.one_way", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield Way(process.stdout.readline().strip(), process)
        process.communicate()  # ends its input, and so the process


def loaded(folder: Path, cache: Path) -> dict[str, Bundle]:
    """The bundle as packed, then as each way runs it; what is refused is left out."""
    found = {PACKED: bundle.load(folder)}
    for name, wanted in wanted_ways(cache).items():
        one = bundle.load(folder, running=wanted)
        if name == "auto" or name == str(one.arithmetic):
            found[f"{name}: {one.arithmetic}" if name == "auto" else name] = one
    return found


def wanted_ways(cache: Path | None) -> dict[str, bundle.Wanted]:
    """What the node runs by default first; then each runtime that is installed."""
    runners = bundle.Wanted(runner="auto").runners("cpu")
    others = {
        f"{name} float32": bundle.Wanted("float32", name, cache) for name in runners
    }
    return {"auto": bundle.Wanted(), **others}


def beside(ways: dict[str, Way], n_images: int, repeat: int) -> dict[str, str]:
    """Each way in turns: medians of what it took, and of the first one's to it."""
    found: dict[str, list[Taken]] = {name: [] for name in ways}
    for number in range(repeat + _WARM):
        for name, way in ways.items():
            # Twice: in between, the others had the processor's caches.
            way.run(n_images)
            taken = way.run(n_images)
            if number >= _WARM:
                found[name].append(taken)
    first = next(iter(found.values()))
    return {name: said(taken, first) for name, taken in found.items()}


def said(taken: Sequence[Taken], first: Sequence[Taken]) -> str:
    middle = Taken(*map(statistics.median, zip(*taken, strict=True)))
    turns = list(zip(first, taken, strict=True))
    processor = statistics.median(one.processor / ours.processor for one, ours in turns)
    wall = statistics.median(one.wall / ours.wall for one, ours in turns)
    return (
        f"processor {middle.processor * 1000:.2f} ms, ratio {processor:.2f};"
        f" wall {middle.wall * 1000:.2f} ms, ratio {wall:.2f};"
        f" {middle.faults:.0f} page faults"
    )


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
