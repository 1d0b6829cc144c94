"""A connection to a browser that must keep moving, or it is let go.

uvicorn waits for ever for the rest of a request, and for a reader that takes nothing:
enough of either would leave no connection for anybody else.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

_WAITING_FOR_REQUEST = {h11.IDLE, h11.SEND_BODY}
_LARGEST_UNSENT_BYTES = 1 << 16


def patient_for(seconds: float) -> type[asyncio.Protocol]:
    """The protocol of a connection, for ``uvicorn.Config(http=...)``.

    Within ``seconds`` a request must be here as a whole, and a part of an answer taken.
    """

    class Patient(_Moving):
        patience_seconds = seconds

    return Patient


class _Moving(H11Protocol):
    """Cut when the other end keeps us waiting, whichever way the bytes go."""

    patience_seconds: float
    _asking: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a request."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=_LARGEST_UNSENT_BYTES)
        self._asking = self._later()

    def data_received(self, data: bytes) -> None:
        """A part of a request: the clock runs until the whole of it is here."""
        super().data_received(data)
        if self.conn.their_state not in _WAITING_FOR_REQUEST:
            _end(self._asking)
            self._asking = None
        elif self._asking is None:
            self._asking = self._later()

    def pause_writing(self) -> None:
        """The reader does not keep up."""
        super().pause_writing()
        _end(self._reading)
        self._reading = self._later()

    def resume_writing(self) -> None:
        """It has."""
        super().resume_writing()
        _end(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget both clocks."""
        _end(self._asking)
        _end(self._reading)
        super().connection_lost(exc)

    def _later(self) -> asyncio.TimerHandle:
        loop = asyncio.get_running_loop()
        return loop.call_later(self.patience_seconds, self.transport.abort)


def _end(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
