"""Images of several studies and pipelines through the network together. No torch here.

While the network runs on one batch, the images of the next are prepared and gathered;
the thread that asked waits for its own answers only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from threading import Condition, Semaphore
from typing import Any, Protocol


class Network(Protocol):
    """What is batched: one bundle's network."""

    @property
    def most(self) -> int:
        """Images it takes at once just now; it may have learned to take fewer."""
        ...

    def prepare(self, image: Any) -> Any:
        """What the network needs of one image, or its answer to an unusable one."""
        ...

    def run(self, prepared: Sequence[Any]) -> Sequence[Any]:
        """One answer for each image, in order; raises PredictionFailed."""
        ...


@dataclass(frozen=True, slots=True, order=True)
class _Request:
    """The urgent first; else the n-th image of a study before the n+1-th of others."""

    urgency: int
    turn: int
    number: int
    network: Network = field(compare=False)
    prepared: Any = field(compare=False)
    answer: Future[Any] = field(compare=False)


class Lane:
    """The images of one study on their way to one network."""

    def __init__(
        self, batcher: Batcher, network: Network, n_images: int, priority: int
    ) -> None:
        self._batcher = batcher
        self._network = network
        self._priority = priority
        self._turns = count()
        self._n_left = n_images

    def submit(self, image: Any) -> Future[Any]:
        """Have one image analysed; its answer may raise PredictionFailed."""
        self._n_left -= 1
        answer: Future[Any] = Future()
        place = (-self._priority, next(self._turns))
        self._batcher.prepare(self._network, image, answer, place)
        return answer

    def skip(self) -> None:
        """One image less than was said."""
        self._n_left -= 1
        self._batcher.expect(-1)

    def close(self) -> None:
        """No more images will be submitted."""
        self._batcher.expect(-self._n_left)


class Batcher:
    """Gathers at most ``batch_size`` images, at most ``wait_seconds`` for company.

    It waits only while images that are on their way could still join. ``n_at_once``:
    batches on their way through the networks, whose `run` must allow for it.
    ``n_preparing``: images that are prepared at once.
    """

    def __init__(
        self,
        batch_size: int,
        wait_seconds: float,
        n_at_once: int = 1,
        n_preparing: int = 1,
    ) -> None:
        self._batch_size = batch_size
        self._wait_seconds = wait_seconds
        self._waiting: list[_Request] = []
        self._n_coming = 0
        self._numbers = count()
        self._changed = Condition()
        # The same threads for ever: the arithmetic libraries keep threads of their own
        # for every thread that calls them.
        self._preparing = ThreadPoolExecutor(n_preparing, "prepare")
        self._gathering = ThreadPoolExecutor(1, "gather")
        self._running = ThreadPoolExecutor(n_at_once, "network")
        self._free = Semaphore(n_at_once)

    @contextmanager
    def lane(self, network: Network, n_images: int, priority: int) -> Iterator[Lane]:
        """Where ``n_images`` of one study will be submitted, or found wanting."""
        self.expect(n_images)
        lane = Lane(self, network, n_images, priority)
        try:
            yield lane
        finally:
            lane.close()

    def expect(self, n_images: int) -> None:
        """So many images more are coming; fewer, if negative."""
        with self._changed:
            self._n_coming += n_images
            self._changed.notify_all()

    def prepare(
        self,
        network: Network,
        image: Any,
        answer: Future[Any],
        place: tuple[int, int],
    ) -> None:
        """Prepare an image, then queue it for the network."""

        def done(prepared: Future[Any]) -> None:
            error = prepared.exception()
            if error is None:
                number = next(self._numbers)
                self._queue(
                    _Request(*place, number, network, prepared.result(), answer)
                )
            else:
                answer.set_exception(error)
            self.expect(-1)

        self._preparing.submit(network.prepare, image).add_done_callback(done)

    def close(self) -> None:
        """End the threads, after what was asked of them."""
        for executor in (self._preparing, self._gathering, self._running):
            executor.shutdown()

    def _queue(self, request: _Request) -> None:
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()
        self._gathering.submit(self._run_next)

    def _run_next(self) -> None:
        self._free.acquire()  # the next batch gathers meanwhile
        batch = self._gathered()
        if not batch:
            self._free.release()
            return
        prepared = [one.prepared for one in batch]
        running = self._running.submit(batch[0].network.run, prepared)
        running.add_done_callback(lambda _ran: self._free.release())
        running.add_done_callback(partial(_hand_out, batch))

    def _gathered(self) -> list[_Request]:
        with self._changed:
            if not self._waiting:
                return []  # an earlier batch took it along
            self._changed.wait_for(self._is_full, self._wait_seconds)
            network = min(self._waiting).network
            most = min(self._batch_size, network.most)
            batch = sorted(r for r in self._waiting if r.network is network)[:most]
            taken = {one.number for one in batch}
            self._waiting = [r for r in self._waiting if r.number not in taken]
            return batch

    def _is_full(self) -> bool:
        return len(self._waiting) >= self._batch_size or not self._n_coming


def _hand_out(batch: Sequence[_Request], ran: Future[Sequence[Any]]) -> None:
    error = ran.exception()
    if error is not None:
        for one in batch:
            one.answer.set_exception(error)
        return
    for one, answer in zip(batch, ran.result(), strict=True):
        one.answer.set_result(answer)
