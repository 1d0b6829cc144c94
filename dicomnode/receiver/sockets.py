"""The guarded, buffered socket of an accepted connection (PS3.8 9.1)."""

from __future__ import annotations

import select
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pynetdicom import evt
from pynetdicom.transport import AssociationSocket

from dicomnode.receiver.buffers import Buffers

if TYPE_CHECKING:
    from pynetdicom.association import Association

# An A-ASSOCIATE-RQ with 128 presentation contexts must fit, whatever P-DATA may.
_MIN_LIMIT_BYTES = 256 * 1024
# PS3.8 9.3.1: type, reserved, length. So much can always be put back.
HEADER_BYTES: Final = 6
# PS3.8 9.3.8: A-ABORT from the service provider, invalid PDU parameter value.
_A_ABORT = bytes.fromhex("07 00 00000004 00 00 02 06")
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_QUICK_ACKNOWLEDGEMENT = getattr(socket, "TCP_QUICKACK", None)


class PduRefusedError(OSError):
    """The peer announced a PDU longer than we take, or did not finish one in time."""


class GuardedSocket(AssociationSocket):
    """Refuses an overlong PDU at its header and gives each a deadline.

    The library reads whatever length is announced, up to 4 GiB, and waits for ever.
    What has come lies in one buffer, from which the C-STORE data path takes it where it
    is, and the library by ``recv``. Only the thread of the association may use it, but
    for ``cut``. TLS connections are served alike.
    """

    def __init__(
        self,
        association: Association,
        connection: socket.socket,
        max_pdu_bytes: int,
        deadline_seconds: float,
        buffers: Buffers,
    ) -> None:
        super().__init__(association, client_socket=connection)
        self.limit_bytes = max(max_pdu_bytes, _MIN_LIMIT_BYTES)
        self.deadline_seconds = deadline_seconds
        connection.setblocking(False)
        self._connection = connection
        self._buffers = buffers
        self._buffer = buffers.taken()
        self._begins = self._ends = HEADER_BYTES
        self._has_ended = False
        self._waiting = select.poll()
        self._waiting.register(connection, select.POLLIN)

    @property
    def ready(self) -> bool:
        """Whether something can be read, the end of the connection included."""
        if self.socket is None:
            return False
        return self.has_pending or bool(self._polled(self._waiting, 0))

    @property
    def has_pending(self) -> bool:
        """Whether something can be read that ``poll`` knows nothing of."""
        if self._begins < self._ends or self._has_ended:
            return True
        connection = self._connection
        return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0

    @property
    def n_buffered(self) -> int:
        """Bytes that ``peek`` and ``take`` can give."""
        return self._ends - self._begins

    def peek(self, n_bytes: int) -> memoryview:
        """The next bytes, which stay; at most ``n_buffered``."""
        return self._buffer[self._begins : self._begins + n_bytes]

    def take(self, n_bytes: int) -> memoryview:
        """The next bytes, valid until the next ``fill``; at most ``n_buffered``."""
        begins = self._begins
        self._begins += n_bytes
        return self._buffer[begins : self._begins]

    def put_back(self, header: bytes) -> None:
        """Let the library read ``header`` next; something must have been taken."""
        begins = self._begins - len(header)
        self._buffer[begins : self._begins] = header
        self._begins = begins

    def fill(self, ends_at: float) -> bool:
        """Read what there is, at least a byte; False: the peer has closed.

        The buffer must have been emptied but for less than its half. ``ends_at``: when
        to give up waiting (monotonic seconds). Raises PduRefusedError, OSError.
        """
        self._make_room()
        n_received = self._received(self._buffer[self._ends :], ends_at)
        self._ends += n_received
        return n_received > 0

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly ``nr_bytes``, or fewer if the peer has closed the connection.

        Raises PduRefusedError, and any other OSError of the connection.
        """
        if nr_bytes > self.limit_bytes:
            self.send(_A_ABORT)
            raise PduRefusedError(f"a PDU of {nr_bytes} bytes was announced")
        ends_at = time.monotonic() + self.deadline_seconds
        found = bytearray()
        while self.socket is not None:
            found += self.take(min(nr_bytes - len(found), self.n_buffered))
            if len(found) == nr_bytes or not self.fill(ends_at):
                break
        return found

    def send(self, bytestream: bytes) -> None:
        """Send all of it, at once if there is room; a failure is Evt17 (PS3.8 9.2.2).

        One segment as far as possible: of two the second may wait for a delayed
        acknowledgement of the first.
        """
        view, ends_at = memoryview(bytestream), time.monotonic() + self.deadline_seconds
        try:
            while view:
                view = view[self._sent(view, ends_at) :]
        except OSError:
            self.event_queue.put("Evt17")
        else:
            evt.trigger(self.assoc, evt.EVT_DATA_SENT, {"data": bytestream})

    def end(self) -> None:
        """Read nothing any more: the library finds the connection closed."""
        self._begins = self._ends = HEADER_BYTES
        self._has_ended = True

    def release(self) -> None:
        """Give the buffer back, once nothing will be read; by the thread that reads."""
        self.end()
        buffer, self._buffer = self._buffer, memoryview(b"")
        if buffer:
            self._buffers.give_back(buffer)

    def cut(self) -> None:
        """End the connection under whoever reads from it, from any thread.

        The descriptor stays with its thread, so that no other can be in its place.
        """
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _shutdown_socket(self) -> None:
        self.cut()
        # The library closes only what could be shut down.
        self._connection.close()

    def _make_room(self) -> None:
        n_left = self.n_buffered
        if n_left and self._ends < len(self._buffer):
            return
        if n_left:
            left = bytes(self._buffer[self._begins : self._ends])
            self._buffer[HEADER_BYTES : HEADER_BYTES + n_left] = left
        self._begins, self._ends = HEADER_BYTES, HEADER_BYTES + n_left

    def _received(self, room: memoryview, ends_at: float) -> int:
        while not self._has_ended:
            try:
                n_received = self._connection.recv_into(room)
            except _NOT_NOW:
                self._wait(select.POLLIN, ends_at)
            else:
                self._acknowledge()
                return n_received
        return 0

    def _sent(self, view: memoryview, ends_at: float) -> int:
        while True:
            try:
                return self._connection.send(view)
            except _NOT_NOW:
                self._wait(select.POLLOUT, ends_at)

    def _acknowledge(self) -> None:
        """At once, and again after each read, because the kernel forgets it.

        A sender with Nagle's algorithm on keeps its last small segment until we
        acknowledge, which takes 40 ms otherwise.
        """
        if _QUICK_ACKNOWLEDGEMENT is not None:
            with suppress(OSError):
                self._connection.setsockopt(
                    socket.IPPROTO_TCP, _QUICK_ACKNOWLEDGEMENT, 1
                )

    def _wait(self, what: int, ends_at: float) -> None:
        left_seconds = ends_at - time.monotonic()
        if left_seconds <= 0:
            raise PduRefusedError("a PDU was not finished in time")
        waiting = self._waiting
        if what != select.POLLIN:
            waiting = select.poll()
            waiting.register(self._connection, what)
        self._polled(waiting, left_seconds)

    @staticmethod
    def _polled(waiting: select.poll, seconds: float) -> list[tuple[int, int]]:
        return waiting.poll(seconds * 1000)
