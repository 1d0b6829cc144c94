"""Several decoder processes behind one queue: the urgent first, then in fair turns."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from queue import PriorityQueue
from threading import Thread
from typing import BinaryIO, Protocol, Self, TypeAlias

from dicomnode.decoder.decoding import Decoded, Undecodable, decode
from dicomnode.decoder.limits import DecodeLimits
from dicomnode.decoder.process import MODULE, DecoderProcess
from dicomnode.errors import PredictionFailed

Answer: TypeAlias = "Future[Decoded | Undecodable]"


class Decoder(Protocol):
    """Who decodes images."""

    def decode(
        self,
        files: Sequence[BinaryIO],
        priority: int = 0,
        keywords: Sequence[str] = (),
    ) -> Sequence[Answer]:
        """One answer for each file, in order; the files stay open until all are there.

        ``keywords``: attributes to read beside the pixels. An answer may raise
        PredictionFailed.
        """
        ...


@dataclass(frozen=True, slots=True, order=True)
class _Request:
    """The n-th image of one study goes before the n+1-th of any other.

    So a series of hundreds does not hold up a radiograph.
    """

    urgency: int
    turn: int
    number: int
    file: BinaryIO | None = field(compare=False, default=None)
    keywords: tuple[str, ...] = field(compare=False, default=())
    answer: Answer = field(compare=False, default_factory=Future)


_LAST = 1 << 62
"""The urgency of the request to end, after all others."""


class DecoderPool:
    """Implements Decoder with ``n_processes`` of its own, started at once."""

    def __init__(
        self, limits: DecodeLimits, n_processes: int, module: str = MODULE
    ) -> None:
        self._requests: PriorityQueue[_Request] = PriorityQueue()
        self._numbers = count()
        self._threads = [
            Thread(target=self._serve, args=(limits, module), daemon=True)
            for _ in range(n_processes)
        ]
        for thread in self._threads:
            thread.start()

    def decode(
        self,
        files: Sequence[BinaryIO],
        priority: int = 0,
        keywords: Sequence[str] = (),
    ) -> Sequence[Answer]:
        """One answer for each file, in order."""
        requests = [
            _Request(-priority, turn, next(self._numbers), file, tuple(keywords))
            for turn, file in enumerate(files)
        ]
        for request in requests:
            self._requests.put(request)
        return [request.answer for request in requests]

    def close(self) -> None:
        """End the processes, after what was asked of them."""
        for _ in self._threads:
            self._requests.put(_Request(_LAST, 0, next(self._numbers)))
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _serve(self, limits: DecodeLimits, module: str) -> None:
        # The process is started by the thread that uses it: it dies with its thread.
        process = DecoderProcess(limits, module)
        with suppress(PredictionFailed):  # the first image tries again, and says so
            process.start()
        while (request := self._requests.get()).file is not None:
            _answer(process, request)
        process.stop()


class InThisProcess:
    """Implements Decoder without isolation, for evaluation and tests."""

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self._limits = limits or DecodeLimits()

    def decode(
        self,
        files: Sequence[BinaryIO],
        priority: int = 0,
        keywords: Sequence[str] = (),
    ) -> Sequence[Answer]:
        """One answer for each file, in order; ``priority`` makes no difference."""
        del priority
        answers: list[Answer] = [Future() for _ in files]
        for file, answer in zip(files, answers, strict=True):
            answer.set_result(decode(file, self._limits.max_pixels, keywords))
        return answers


def _answer(process: DecoderProcess, request: _Request) -> None:
    if request.file is None or not request.answer.set_running_or_notify_cancel():
        return
    try:
        request.answer.set_result(process.decode(request.file, request.keywords))
    except (PredictionFailed, OSError, ValueError) as error:  # ValueError: closed file
        request.answer.set_exception(error)
