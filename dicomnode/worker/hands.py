"""A thread that does the work, so that work which never ends can be left behind."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")


class Hands:
    """Does one deed at a time, always in the same thread.

    Always the same, because the arithmetic libraries keep threads for each thread that
    calls them. A thread cannot be ended from outside: after a TimeoutError these hands
    are full for ever, and only the end of the process frees what the deed holds.
    """

    def __init__(self) -> None:
        self._deeds: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        self._answers: SimpleQueue[Any] = SimpleQueue()
        self._thread = Thread(target=self._serve, daemon=True)

    def do(self, deed: Callable[[], _Answer], timeout_seconds: float) -> _Answer:
        """What ``deed``, which must not raise, gives; 0 waits for ever.

        Raises TimeoutError.
        """
        if not self._thread.is_alive():
            self._thread.start()
        self._deeds.put(deed)
        try:
            answer: _Answer = self._answers.get(timeout=timeout_seconds or None)
        except Empty:
            raise TimeoutError(timeout_seconds) from None
        return answer

    def _serve(self) -> None:
        while True:
            self._answers.put(self._deeds.get()())
