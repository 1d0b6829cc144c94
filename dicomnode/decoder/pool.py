"""Several decoder processes behind one queue: the urgent first, then in fair turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from queue import PriorityQueue
from threading import Thread
from typing import Any, BinaryIO, Protocol, Self, TypeAlias

from dicomnode.decoder import chunks
from dicomnode.decoder.decoding import (
    DISPLAY,
    Decoded,
    ImageWanted,
    Undecodable,
    decode,
)
from dicomnode.decoder.limits import DecodeLimits
from dicomnode.decoder.prepared import Wanted
from dicomnode.decoder.process import MODULE, DecoderProcess
from dicomnode.decoder.series import planes_of, survey
from dicomnode.domain.series import SliceHeader
from dicomnode.errors import PredictionFailed
from model import pixels

Answer: TypeAlias = "Future[Decoded | Undecodable]"
Surveyed: TypeAlias = "Future[list[list[SliceHeader] | Undecodable]]"
Shown: TypeAlias = "Future[list[chunks.Slices | Undecodable]]"


class Decoder(Protocol):
    """Who decodes images."""

    def decode(
        self,
        files: Sequence[BinaryIO],
        priority: int = 0,
        wanted: ImageWanted = DISPLAY,
    ) -> Sequence[Answer]:
        """One answer for each file, in order; the files stay open until all are there.

        An answer may raise PredictionFailed.
        """
        ...

    def survey(
        self,
        files: Sequence[BinaryIO],
        priority: int = 0,
        turn: int = 0,
        keywords: Sequence[str] = (),
    ) -> Surveyed:
        """The headers of all slices in at most `CHUNK` files, in one message.

        ``turn``: the place of the first in its study, for fair turns with others.
        ``keywords``: attributes that shall be among their ``facts``.
        """
        ...

    def planes(
        self,
        files: Sequence[BinaryIO],
        wanted: Sequence[Wanted],
        priority: int = 0,
        turn: int = 0,
    ) -> Shown:
        """Slices of at most `CHUNK` files, in one message; ``turn`` as for `survey`."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class _Request:
    """The n-th image of one study goes before the n+1-th of any other.

    So a series of hundreds does not hold up a radiograph.
    """

    urgency: int
    turn: int
    number: int
    task: Callable[[DecoderProcess], Any] | None = field(compare=False, default=None)
    answer: Future[Any] = field(compare=False, default_factory=Future)


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
        wanted: ImageWanted = DISPLAY,
    ) -> Sequence[Answer]:
        """One answer for each file, in order."""
        requests = [
            self._requested(
                partial(DecoderProcess.decode, file=file, wanted=wanted),
                (-priority, turn),
            )
            for turn, file in enumerate(files)
        ]
        return [request.answer for request in requests]

    def survey(
        self,
        files: Sequence[BinaryIO],
        priority: int = 0,
        turn: int = 0,
        keywords: Sequence[str] = (),
    ) -> Surveyed:
        """The headers of all slices in a few files."""
        task = partial(chunks.survey, files=files, keywords=tuple(keywords))
        return self._requested(task, (-priority, turn)).answer

    def planes(
        self,
        files: Sequence[BinaryIO],
        wanted: Sequence[Wanted],
        priority: int = 0,
        turn: int = 0,
    ) -> Shown:
        """Slices of a few files, shown through windows."""
        task = partial(chunks.planes, files=files, wanted=wanted)
        return self._requested(task, (-priority, turn)).answer

    def _requested(
        self, task: Callable[[DecoderProcess], Any], place: tuple[int, int]
    ) -> _Request:
        request = _Request(*place, next(self._numbers), task)
        self._requests.put(request)
        return request

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
        while (request := self._requests.get()).task is not None:
            _answer(process, request)
        process.stop()


class InThisProcess:
    """Implements Decoder without isolation, for evaluation and tests."""

    def __init__(self, limits: DecodeLimits | None = None) -> None:
        self._limits = limits or DecodeLimits()
        self._heads = pixels.Heads()

    def decode(
        self,
        files: Sequence[BinaryIO],
        priority: int = 0,
        wanted: ImageWanted = DISPLAY,
    ) -> Sequence[Answer]:
        """One answer for each file, in order; ``priority`` makes no difference."""
        del priority
        answers: list[Answer] = [Future() for _ in files]
        for file, answer in zip(files, answers, strict=True):
            answer.set_result(decode(file, self._limits.max_pixels, wanted))
        return answers

    def survey(
        self,
        files: Sequence[BinaryIO],
        priority: int = 0,
        turn: int = 0,
        keywords: Sequence[str] = (),
    ) -> Surveyed:
        """The headers of all slices in a few files."""
        del priority, turn
        answer: Surveyed = Future()
        answer.set_result([survey(file, keywords) for file in files])
        return answer

    def planes(
        self,
        files: Sequence[BinaryIO],
        wanted: Sequence[Wanted],
        priority: int = 0,
        turn: int = 0,
    ) -> Shown:
        """Slices of a few files, shown through windows."""
        del priority, turn
        answer: Shown = Future()
        most = self._limits.max_pixels
        pairs = zip(files, wanted, strict=True)
        heads = self._heads
        answer.set_result([planes_of(file, one, most, heads) for file, one in pairs])
        return answer


def _answer(process: DecoderProcess, request: _Request) -> None:
    if request.task is None or not request.answer.set_running_or_notify_cancel():
        return
    try:
        request.answer.set_result(request.task(process))
    except (PredictionFailed, OSError, ValueError) as error:  # ValueError: closed file
        request.answer.set_exception(error)
