"""What an NVIDIA GPU needs to be kept busy: streams, and the network as CUDA graphs.

A small network is a few hundred kernels of some microseconds, which take longer to
launch one by one than to run. A graph launches all of them at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

import torch

from model.network import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    Runner = Callable[[Tensor], Output]

AT_ONCE = 2
"""Batches on their way at once: one is copied while the network runs on another."""

_WARM_RUNS = 3


def prepared_for(device: torch.device) -> None:
    """Float32 shall be float32, for bundles are held against it: no TF32 in secret."""
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False


class Streams:
    """So many streams of one device; whoever needs one waits for it."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._free: SimpleQueue[torch.cuda.Stream] = SimpleQueue()
        for _ in range(AT_ONCE):
            self._free.put(_stream(device))

    @contextmanager
    def one(self) -> Iterator[None]:
        """A stream for the body, all of whose work is done at the end."""
        stream = self._free.get()
        try:
            with torch.cuda.device(self._device), torch.cuda.stream(stream):
                yield
            stream.synchronize()
        finally:
            self._free.put(stream)


class Graphed:
    """A runner as CUDA graphs, one for each size of batch, each in two copies.

    A batch between two sizes runs as the larger of them; one beyond the largest runs
    without a graph. Raises RuntimeError when the network cannot be captured.
    """

    def __init__(self, runner: Runner, example: Tensor, most: int) -> None:
        """example: a canvas on the device, (1, N, N). most: images at once."""
        self._runner = runner
        self._copies: SimpleQueue[_Captured] = SimpleQueue()
        for _ in range(AT_ONCE):
            self._copies.put(_Captured(runner, example, most))
        self._most = most

    def __call__(self, images: Tensor) -> Output:
        """(batch, 1, N, N) on the device -> as the runner."""
        if len(images) > self._most:
            return self._runner(images)
        copy = self._copies.get()
        try:
            return copy.run(images)
        finally:
            self._copies.put(copy)


class _Captured:
    """One graph for each size; what they share is used by one batch after the other."""

    def __init__(self, runner: Runner, example: Tensor, most: int) -> None:
        self._graphs: dict[int, tuple[Tensor, torch.cuda.CUDAGraph, Output]] = {}
        self._done: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        pool = None
        # The largest first: the smaller ones fit into its memory.
        for n in reversed(sizes(most)):
            given = example.expand(n, *example.shape).clone()
            graph = torch.cuda.CUDAGraph()
            with torch.inference_mode(), _fastest_kernels():
                _warmed(runner, given)
                with torch.cuda.graph(
                    graph, pool=pool, capture_error_mode="thread_local"
                ):
                    output = runner(given)
            pool = graph.pool()
            self._graphs[n] = given, graph, output
        self._done.record()

    def run(self, images: Tensor) -> Output:
        n = len(images)
        given, graph, output = self._graphs[min(s for s in self._graphs if s >= n)]
        with torch.inference_mode():
            self._done.wait()  # the batch before may still be read, on its own stream
            given[:n].copy_(images)
            graph.replay()
            found = Output(
                {name: value[:n].clone() for name, value in output.logits.items()},
                output.features[:n].clone(),
                output.pooled[:n].clone(),
            )
            self._done.record()
        return found


def sizes(most: int) -> list[int]:
    """1, 2, 4, 8 ... and ``most``, ascending."""
    powers = [1 << n for n in range(most.bit_length())]
    return sorted({*powers, most})


def _warmed(runner: Runner, given: Tensor) -> None:
    """On a stream of its own, as capturing asks."""
    stream = _stream(given.device)
    stream.wait_stream(torch.cuda.current_stream(given.device))
    with torch.cuda.stream(stream):
        for _ in range(_WARM_RUNS):
            runner(given)
    torch.cuda.current_stream(given.device).wait_stream(stream)


@contextmanager
def _fastest_kernels() -> Iterator[None]:
    """The kernels that a graph will hold are chosen by trial, once."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
