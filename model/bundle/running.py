"""How a bundle's network runs: with which arithmetic and runtime, and does it agree?

Whatever runs is first held against the network as packed, in float32, on the bundle's
own test image and on phantoms in several orientations. A way that moves a probability
or the domain distance by more than a tolerance is refused, and the next one is tried;
the last is the network as packed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from model.bundle import exported, gpu
from model.bundle.arithmetic import Arithmetic
from model.bundle.errors import BundleError
from model.bundle.in_torch import TorchRunner
from model.bundle.serve import Bundle
from model.network import n_channels
from model.phantom import chest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from model.bundle.arithmetic import Precision, Wanted
    from model.bundle.engine import Engine, Prepared
    from model.bundle.gpu import Runner
    from model.bundle.serve import Parts

    Said = tuple[NDArray[np.float64], NDArray[np.float64]]

TOLERANCE = 0.01
"""Largest difference of a probability from float32."""

DOMAIN_TOLERANCE = 0.05
"""Largest difference of a distance from float32, as a share of the domain's limit."""

_SEED, _ROWS, _COLUMNS = 700, 160, 140
_VIEWS: tuple[Literal["PA", "AP"], ...] = ("PA", "AP")
_RUNS = 5
_FAILURES = (RuntimeError, TypeError, ValueError, BundleError)


@dataclass(frozen=True)
class _Way:
    """A way to run the network: its words, and what opens it."""

    runner: str
    precision: Precision
    open: Callable[[], Runner]


def accelerated(bundle: Bundle, wanted: Wanted) -> Bundle:
    """The bundle with the first way to run that is wanted and agrees.

    What was refused is said in ``arithmetic`` of the result.
    """
    probe = _Probe(bundle)
    agreeing: list[Bundle] = []
    refused: list[str] = []
    for way in _ways(bundle, wanted):
        answer = probe.tried(way)
        if isinstance(answer, str):
            refused.append(f"{way.runner} {way.precision}: {answer}")
            continue
        agreeing.append(answer)
        if wanted.runner != "auto":
            break
    fastest = min(agreeing, key=probe.seconds) if len(agreeing) > 1 else None
    chosen = fastest or next(iter(agreeing), bundle)
    said = replace(chosen.arithmetic, refused=tuple(refused))
    return Bundle(chosen.description, chosen.parts, said)


def _ways(bundle: Bundle, wanted: Wanted) -> Iterator[_Way]:
    engine = bundle.parts.engine
    for precision in wanted.precisions(engine.device):
        for runner in wanted.runners(engine.device.type):
            yield _Way(runner, precision, _opener(bundle, runner, precision, wanted))


def _opener(
    bundle: Bundle, runner: str, precision: Precision, wanted: Wanted
) -> Callable[[], Runner]:
    engine = bundle.parts.engine
    if runner == "torch" and engine.device.type == "cuda":
        return lambda: _on_gpu(engine, precision, wanted.batch_size)
    if runner == "torch":
        return lambda: TorchRunner(engine, precision)
    return lambda: exported.runner(bundle, runner, precision, wanted)


def _on_gpu(engine: Engine, precision: Precision, most: int) -> Runner:
    """As CUDA graphs, if it can be captured; else kernel by kernel."""
    runner, size = TorchRunner(engine, precision), engine.preset.size
    example = torch.zeros(n_channels(engine.network), size, size, device=engine.device)
    try:
        return gpu.Graphed(runner, example, most)
    except RuntimeError:  # also for want of memory; without graphs it needs less
        torch.cuda.empty_cache()
        return runner


class _Probe:
    """Images, and what the network as packed says of them."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._images = [bundle.prepare(image) for image in _images(bundle)]
        self._expected = _said(bundle.parts, self._images)

    def tried(self, way: _Way) -> Bundle | str:
        """The bundle that runs so, or why it may not."""
        parts = self._bundle.parts
        try:
            runner = way.open()
            parts = replace(parts, engine=replace(parts.engine, runner=runner))
            moved = self._moved(parts)
        except _FAILURES as error:
            return (str(error).splitlines() or [type(error).__name__])[0]
        if not (moved[0] <= TOLERANCE and moved[1] <= DOMAIN_TOLERANCE):
            return (
                f"moves a probability by {moved[0]:.2g} (at most {TOLERANCE:g}), the"
                f" distance by {moved[1]:.2g} (at most {DOMAIN_TOLERANCE:g})"
            )
        graphs = isinstance(runner, gpu.Graphed)
        said = Arithmetic(way.runner, way.precision, moved[0], graphs=graphs)
        return Bundle(self._bundle.description, parts, said)

    def seconds(self, bundle: Bundle) -> float:
        """What a batch of the images takes, at best."""
        canvases = [image.canvas for image in self._images]
        taken = []
        for _ in range(_RUNS):
            start = time.perf_counter()
            bundle.parts.engine.forward(canvases)
            taken.append(time.perf_counter() - start)
        return min(taken)

    def _moved(self, parts: Parts) -> tuple[float, float]:
        """Largest difference of a probability, and of a distance in its limits."""
        # Together and alone: kernels differ by the size of the batch.
        moved = _difference(_said(parts, self._images), self._expected)
        alone = [one[:1] for one in self._expected]
        alone_moved = _difference(_said(parts, self._images[:1]), alone)
        return max(moved[0], alone_moved[0]), max(moved[1], alone_moved[1])


def _said(parts: Parts, images: Sequence[Prepared]) -> Said:
    """Probabilities (images, classes), and distances as a share of their limits."""
    engine = parts.engine
    output = engine.forward([one.canvas for one in images])
    found = [
        parts.probabilities(head, output.logits[head.name]).double().numpy()
        for head in engine.network.layout
    ]
    vectors = engine.measured(output, [one.statistics for one in images])
    judged = parts.domain.judge(vectors)
    return np.concatenate(found, 1), np.array(
        [one.distance / one.limit for one in judged]
    )


def _difference(
    found: Said, expected: Sequence[NDArray[np.float64]]
) -> tuple[float, float]:
    probability, distance = (
        float(np.abs(one - other).max())
        for one, other in zip(found, expected, strict=True)
    )
    return probability, distance


def _images(bundle: Bundle) -> Iterator[NDArray[np.float32]]:
    if bundle.parts.example is not None:
        yield bundle.parts.example
    if bundle.description.input.series is not None:
        return  # a radiograph is no stack of slices
    for number, view in enumerate(_VIEWS):
        stored = chest(_SEED + number, view=view, rows=_ROWS, columns=_COLUMNS)
        image = (stored / 4095).astype(np.float32)
        for turn in (0, 1, 2):
            yield np.ascontiguousarray(np.rot90(image, turn))
        yield 1 - image
