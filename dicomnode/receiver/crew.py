"""Threads that serve associations, kept for a while for the next one.

A modality that associates anew for each image would have a thread made for each, and
whoever accepts connections would wait until it runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

_IDLE_SECONDS = 30.0


class _Hand:
    """A thread without work; ``woken`` is let go when ``task`` is there."""

    __slots__ = ("task", "woken")

    def __init__(self) -> None:
        self.task: Callable[[], None] | None = None
        self.woken = threading.Lock()
        self.woken.acquire()


class Crew:
    """Runs each task in a thread of its own; the last to be free works first."""

    def __init__(self, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._idle: list[_Hand] = []

    def run(self, task: Callable[[], None]) -> None:
        """Run ``task`` now; raises RuntimeError when there can be no more threads."""
        with self._lock:
            hand = self._idle.pop() if self._idle else None
        if hand is None:
            threading.Thread(target=self._work, args=(task,), daemon=True).start()
            return
        hand.task = task
        hand.woken.release()

    def _work(self, first: Callable[[], None]) -> None:
        task: Callable[[], None] | None = first
        hand = _Hand()
        while task is not None:
            task()
            # Nothing of an association outlives it because a thread is idle.
            task = hand.task = None
            task = self._next(hand)

    def _next(self, hand: _Hand) -> Callable[[], None] | None:
        """What to do next; None: nothing came for a long time."""
        with self._lock:
            self._idle.append(hand)
        if not hand.woken.acquire(timeout=self._idle_seconds):
            with self._lock:
                if hand in self._idle:
                    self._idle.remove(hand)
                    return None
            # Somebody has taken it off the list meanwhile, and is about to say why.
            hand.woken.acquire()
        return hand.task
