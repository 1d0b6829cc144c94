"""One way to run a shipped network, in a process of its own, as a worker has it.

`python -m tests.bench.one_way BUNDLE PRECISION RUNNER CACHE THREADS` says how it runs;
then for each number of images on standard input what they took: processor seconds, wall
seconds, page faults. RUNNER `packed` is the network as packed, eager.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import torch

from model import bundle
from model.bundle.serve import Bundle

PACKED = "packed"


def main(words: Sequence[str]) -> int:
    folder, precision, runner, kept, threads = words
    torch.set_num_threads(int(threads))
    wanted = bundle.Wanted(precision, runner, Path(kept), int(threads))
    running = None if runner == PACKED else wanted
    one = bundle.load(Path(folder), running=running)
    print(one.arithmetic, flush=True)
    run = cache(lambda n_images: bare(one, n_images))
    with torch.inference_mode():
        for line in sys.stdin:
            print(json.dumps(taken(run(int(line)))), flush=True)
    return 0


def bare(one: Bundle, n_images: int) -> Callable[[], object]:
    """The network alone, without calibration and maps, on so many images."""
    engine = one.parts.engine
    side = engine.preset.size
    batch = torch.rand(n_images, 1, side, side)
    return lambda: (engine.runner or engine.network)(batch)


def taken(work: Callable[[], object]) -> tuple[float, float, int]:
    faults = page_faults()
    start = time.process_time(), time.perf_counter()
    work()
    end = time.process_time(), time.perf_counter()
    return end[0] - start[0], end[1] - start[1], page_faults() - faults


def page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
