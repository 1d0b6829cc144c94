"""The guarded socket of an accepted connection (PS3.8 9.1)."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from pynetdicom.transport import AssociationSocket

if TYPE_CHECKING:
    from pynetdicom.association import Association

# An A-ASSOCIATE-RQ with 128 presentation contexts must fit, whatever P-DATA may.
_MIN_LIMIT_BYTES = 256 * 1024
# PS3.8 9.3.8: A-ABORT from the service provider, invalid PDU parameter value.
_A_ABORT = bytes.fromhex("07 00 00000004 00 00 02 06")


class PduRefusedError(OSError):
    """The peer announced a PDU longer than we take, or did not finish one in time."""


class GuardedSocket(AssociationSocket):
    """Refuses an overlong PDU at its header and gives each a deadline.

    The library reads whatever length is announced, up to 4 GiB, and waits for ever.
    """

    def __init__(
        self,
        association: Association,
        connection: socket.socket,
        max_pdu_bytes: int,
        deadline_seconds: float,
    ) -> None:
        super().__init__(association, client_socket=connection)
        self._limit_bytes = max(max_pdu_bytes, _MIN_LIMIT_BYTES)
        self._deadline_seconds = deadline_seconds

    def recv(self, nr_bytes: int) -> bytearray:
        """Exactly ``nr_bytes``, or fewer if the peer has closed the connection.

        Raises PduRefusedError, and any other OSError of the connection.
        """
        if nr_bytes > self._limit_bytes:
            self.send(_A_ABORT)
            raise PduRefusedError(f"a PDU of {nr_bytes} bytes was announced")
        connection = self.socket
        if connection is None:
            return bytearray()
        buffer = bytearray(nr_bytes)
        n_read = self._fill(connection, memoryview(buffer))
        connection.settimeout(self._deadline_seconds)
        return buffer if n_read == nr_bytes else buffer[:n_read]

    def _fill(self, connection: socket.socket, view: memoryview) -> int:
        ends_at = time.monotonic() + self._deadline_seconds
        n_read = 0
        while n_read < len(view):
            left_seconds = ends_at - time.monotonic()
            if left_seconds <= 0:
                raise PduRefusedError("a PDU was not finished in time")
            connection.settimeout(left_seconds)
            n_received = connection.recv_into(view[n_read:])
            if n_received == 0:
                break
            n_read += n_received
        return n_read

    def cut(self) -> None:
        """Close the connection under whoever reads from it."""
        if self.socket is not None:
            self._shutdown_socket()
