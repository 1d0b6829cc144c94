"""An association that stays open a moment, for results that follow soon.

To open one costs a connection, its negotiation and, with TLS, a handshake: more than
to send a report. So it may also be opened a moment before. Whoever closes it, costs
nobody an attempt: see `StorageScu`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from threading import RLock, Timer
from time import monotonic

from pynetdicom.association import Association

from dicomnode.delivery import contexts
from dicomnode.delivery.associating import Peer, associated, is_alive
from dicomnode.delivery.contexts import ContextKey
from dicomnode.errors import Unreachable

LONGEST_SECONDS = 60.0
"""Then a new one is opened: the peer may accept more, or show another certificate."""


class Standing:
    """The association with one peer; used by one thread at a time."""

    def __init__(self, peer: Peer, idle_seconds: float) -> None:
        self._peer = peer
        self._idle_seconds = idle_seconds
        self._proposed: dict[ContextKey, None] = {}
        self._association: Association | None = None
        self._ending = ExitStack()
        self._opened_at = 0.0
        self._was_reached = False
        self._timer: Timer | None = None
        self._in_use = RLock()

    @contextmanager
    def opened(self, keys: Sequence[ContextKey]) -> Iterator[Association]:
        """One on which ``keys`` were proposed, left open for ``idle_seconds``.

        Raises Unreachable, NothingAccepted.
        """
        with self._in_use:
            self._stop_waiting()
            one = self._kept(keys) or self._open(keys)
            with ExitStack() as broken:
                broken.callback(self.close)
                yield one
                broken.pop_all()
            self._wait_or_close()

    def prepare(self) -> None:
        """Open one for what was sent before, as it may come again; never fails.

        Not where nothing was sent yet or the peer was not there when it was last
        needed: that is for whoever has something to send to find out.
        """
        with self._in_use, suppress(Unreachable):
            if self._was_reached and self._idle_seconds:
                with self.opened(list(self._proposed)):
                    pass  # it is left open

    def close(self) -> None:
        """Release it, if it is open."""
        with self._in_use:
            self._stop_waiting()
            self._association = None
            self._ending.close()

    def is_open_for(self, keys: Sequence[ContextKey]) -> bool:
        """Whether it is there, and ``keys`` were proposed on it."""
        with self._in_use:
            return self._kept(keys) is not None

    def _kept(self, keys: Sequence[ContextKey]) -> Association | None:
        young = monotonic() - self._opened_at < LONGEST_SECONDS
        fits = young and all(key in self._proposed for key in keys)
        return self._association if fits and self._is_open() else None

    def _open(self, keys: Sequence[ContextKey]) -> Association:
        self.close()
        # What was sent before comes again: with it, the next round finds it proposed.
        both = dict.fromkeys((*keys, *self._proposed))
        few = len(both) <= contexts.MAX_CONTEXTS and self._idle_seconds
        self._proposed = both if few else dict.fromkeys(keys)
        self._was_reached = False
        one = self._ending.enter_context(
            associated(self._peer, contexts.build(list(self._proposed)))
        )
        self._association, self._opened_at = one, monotonic()
        self._was_reached = True
        return one

    def _is_open(self) -> bool:
        """Also answers a peer that wants to end it, which nobody else would."""
        one = self._association
        if one is None or not is_alive(one):
            return False
        if one.acse.is_release_requested():
            one.acse.send_release(is_response=True)
            one.is_released, one.is_established = True, False
            return False
        return True

    def _wait_or_close(self) -> None:
        if not self._idle_seconds or not self._is_open():
            self.close()
            return
        self._timer = Timer(self._idle_seconds, self.close)
        self._timer.daemon = True
        self._timer.start()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
