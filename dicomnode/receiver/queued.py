"""A queue that costs little to make, for the many that each association has."""

from __future__ import annotations

import threading
from collections import deque
from queue import Empty
from typing import Generic, TypeVar

T = TypeVar("T")


class Queued(Generic[T]):
    """What the library uses of ``queue.Queue``, which makes four locks for itself.

    An association has five queues, and nobody ever waits in one: its thread looks
    before it takes. Whoever does wait gets a lock then. Safe for many threads.
    """

    __slots__ = ("_changed", "queue")

    def __init__(self) -> None:
        self.queue: deque[T] = deque()
        self._changed: threading.Condition | None = None

    def empty(self) -> bool:
        """Whether nothing is in it."""
        return not self.queue

    def put(self, item: T) -> None:
        """Add at its end."""
        self.queue.append(item)
        # Looked at behind the item: who waits has set it before looking for one.
        changed = self._changed
        if changed is not None:
            with changed:
                changed.notify_all()

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Take from its beginning; raises ``queue.Empty``."""
        if block and not self.queue:
            self._await(timeout)
        return self.get_nowait()

    def get_nowait(self) -> T:
        """The same without waiting."""
        try:
            return self.queue.popleft()
        except IndexError:
            raise Empty from None

    def _await(self, timeout: float | None) -> None:
        changed = self._changed = self._changed or threading.Condition()
        with changed:
            changed.wait_for(lambda: bool(self.queue), timeout)
