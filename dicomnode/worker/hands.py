"""Threads that do the work, so that work which never ends can be left behind."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")


class Hands:
    """Does deeds one after the other, always in the same thread."""

    def __init__(self) -> None:
        self._deeds: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        Thread(target=self._serve, daemon=True).start()

    def begin(self, deed: Callable[[], _Answer]) -> Future[_Answer]:
        """What ``deed``, which must not raise, will have given."""
        answer: Future[_Answer] = Future()
        self._deeds.put((deed, answer))
        return answer

    def _serve(self) -> None:
        while True:
            deed, answer = self._deeds.get()
            answer.set_result(deed())


class Crew:
    """As many hands as are at work at once; ``changed`` is set when a deed is done.

    A thread cannot be ended from outside: hands that hang are full for ever, and only
    the end of the process frees what they hold.
    """

    def __init__(self, changed: Event) -> None:
        self._changed = changed
        self._idle: list[Hands] = []

    def begin(self, deed: Callable[[], _Answer]) -> Future[_Answer]:
        """Have ``deed``, which must not raise, done by whoever is free."""
        hands = self._idle.pop() if self._idle else Hands()

        def done(_answer: Future[_Answer]) -> None:
            self._idle.append(hands)
            self._changed.set()

        answer = hands.begin(deed)
        answer.add_done_callback(done)
        return answer
