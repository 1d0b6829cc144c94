"""Whoever waits for the worklist is woken when something is committed.

On PostgreSQL the transaction that notes events also notifies (NOTIFY), and one thread
of each process listens, whichever process it was. On SQLite only the process that
commits is woken. Nobody may rely on being woken: polling stays, so a connection or a
message that is lost costs a little time and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from psycopg import Connection

_log = structlog.get_logger(__name__)

CHANNEL = "dicomnode"
_LOOK_SECONDS = 1.0
"""How long the listener may not notice that it is to end."""

AGAIN_SECONDS = 5.0

Connect = Callable[[], "Connection"]
Ring = Callable[[], None]


class WakeUps:
    """Implements ``ports.WakeUps``; ``connect`` makes a connection that can listen."""

    def __init__(
        self, connect: Connect | None = None, again_seconds: float = AGAIN_SECONDS
    ) -> None:
        self._connect = connect
        self._again_seconds = again_seconds
        self._subscribers: list[tuple[frozenset[str], Ring]] = []
        self._lock = Lock()
        self._stop = Event()
        self._listener: Thread | None = None
        self.listening = Event()
        """Set while a notification of another process would arrive."""

    def subscribe(self, kinds: Collection[str], ring: Ring) -> Ring:
        """Call ``ring``, which only sets a flag, after events of these kinds.

        No kinds: after any event. What it returns ends the subscription.
        """
        mine = (frozenset(kinds), ring)
        with self._lock:
            self._subscribers.append(mine)
            if self._connect is not None and self._listener is None:
                self._listener = Thread(
                    target=self._listen, args=(self._connect,), name="wakeups"
                )
                self._listener.daemon = True
                self._listener.start()
        return lambda: self._subscribers.remove(mine)

    def ring(self, kinds: Iterable[str]) -> None:
        """Wake who waits in this process for one of these kinds."""
        came = frozenset(kinds)
        for wanted, ring in tuple(self._subscribers):
            if not wanted or wanted & came:
                ring()

    def close(self) -> None:
        """End the listener."""
        self._stop.set()
        if self._listener is not None:
            self._listener.join()

    def _listen(self, connect: Connect) -> None:
        from psycopg import Error  # noqa: PLC0415  # PostgreSQL only

        while not self._stop.is_set():
            try:
                self._hear(connect)
            except Error as error:
                _log.warning("worklist.not_listening", error=type(error).__name__)
                self._stop.wait(self._again_seconds)
            finally:
                self.listening.clear()

    def _hear(self, connect: Connect) -> None:
        with connect() as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            self.listening.set()
            # What was committed while nobody listened: everyone looks once.
            self._ring_all()
            while not self._stop.is_set():
                for one in connection.notifies(timeout=_LOOK_SECONDS, stop_after=1):
                    self.ring(one.payload.split(","))

    def _ring_all(self) -> None:
        for _, ring in tuple(self._subscribers):
            ring()
