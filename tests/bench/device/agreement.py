"""How far each precision is from float32 on the CPU."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from model import bundle
from model.bundle.arithmetic import WantedPrecision
from model.bundle.serve import Bundle
from model.phantom import chest
from tests.bench import heavy
from tests.bench.device.steps import Steps

BUNDLES = heavy.SHIPPED.parent
PRECISIONS: tuple[WantedPrecision, ...] = ("auto", "bfloat16", "float16", "float32")
N_IMAGES = 64


def agreement(steps: Steps) -> None:
    given, say = steps.given, steps.say
    images = list(display_images(given.data))
    for folder in sorted(path for path in BUNDLES.iterdir() if path.is_dir()):
        plain = bundle.load(folder)
        expected = [one for chunk in chunks(images) for one in plain.predict(chunk)]
        for precision in PRECISIONS:
            if not steps.has_time(f"{folder.name}, {precision}"):
                continue
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
