"""A shipped bundle alone: load and verify, then one image after the other, on the CPU.

Goals: at most 100 ms to load and verify, at most 15 ms for an image of 2048 x 1792 on
two cores, decoding apart. The image goes through what a worker runs (its network
fused); the network as packed stands beside it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

import model
from model import bundle
from model.bundle import remarks
from model.bundle.arithmetic import Wanted
from model.bundle.running import accelerated
from model.phantom import chest
from model.quality import measure as measured

ROWS, COLUMNS = 2048, 1792
BUNDLES = Path(model.__file__).parent / "bundles"


def measure(repeat: int) -> dict[str, object]:
    """Median of each step, for each bundle; the first run only warms."""
    found: dict[str, object] = {
        "image": f"{ROWS} x {COLUMNS}",
        "threads": torch.get_num_threads(),
    }
    display = chest(1, view="PA", rows=ROWS, columns=COLUMNS).astype(np.float32) / 4095
    for folder in sorted(path for path in BUNDLES.iterdir() if path.is_dir()):
        found |= _of(folder, display, repeat)
    return found


def _of(folder: Path, display: np.ndarray, repeat: int) -> dict[str, object]:
    loaded = bundle.load(folder)
    worker = accelerated(loaded, Wanted())
    checks = loaded.description.quality
    steps = {
        "verify": lambda: bundle.verify(folder),
        "load and verify": lambda: bundle.load(folder),
        "one image": lambda: worker.predict([display]),
        "one image, network as packed": lambda: loaded.predict([display]),
        "checks without a network": lambda: remarks(checks, measured(display), {}),
    }
    return {
        f"{folder.name}: {name}": _taken(step, repeat) for name, step in steps.items()
    }


def _taken(step: Callable[[], object], repeat: int) -> str:
    """On a busy machine the time of the processor says what an idle one would take."""
    step()
    wall, processor = [], []
    for _ in range(repeat):
        started = time.perf_counter(), time.process_time()
        step()
        wall.append((time.perf_counter() - started[0]) * 1000)
        processor.append((time.process_time() - started[1]) * 1000)
    middle = statistics.median
    return f"{middle(wall):.1f} ms, processor {middle(processor):.1f} ms"
