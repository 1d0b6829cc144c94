"""pynetdicom's message service, for what does not take the C-STORE data path."""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Any, cast

from pydicom.errors import BytesLengthException
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

from dicomnode.receiver.queued import Queued

if TYPE_CHECKING:
    import queue

    from pynetdicom.association import Association

_MOST_BYTES = 256 << 20
# Of all associations of a server: without it each could hold as much at once.
_MOST_TOGETHER_BYTES = 512 << 20
# A request for storage commitment of 50,000 instances, which becomes many times as much
# when it is decoded; and a command set, whose elements are few (PS3.7 E.1).
_MOST_OTHER_BYTES, _MOST_COMMAND_BYTES = 8 << 20, 64 << 10
# What the library lets out of its decoding of a command set that is none (PS3.7 6.3).
_UNDECODABLE = (
    ArithmeticError,
    AttributeError,
    BytesLengthException,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,  # of reading beyond the end; nothing is read from a disk here
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)
# PS3.8 E.2: message control headers of a whole command set, and of data, not the last.
_COMMAND, _DATA = b"\x03", b"\x00"


class Gathered:
    """What the associations of a server hold in memory together; for many threads."""

    def __init__(self, most_bytes: int = _MOST_TOGETHER_BYTES) -> None:
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        self._n_bytes = 0

    def add(self, n_bytes: int) -> bool:
        """Count them; False: there would be too many."""
        with self._lock:
            if self._n_bytes + n_bytes > self.most_bytes:
                return False
            self._n_bytes += n_bytes
            return True

    def remove(self, n_bytes: int) -> None:
        """They are needed no more."""
        with self._lock:
            self._n_bytes -= n_bytes


class Messages(DIMSEServiceProvider):
    """Gathers messages in memory as the library does, up to a limit (PS3.7 6.3).

    A longer one ends the association: the library has no other way to stop it.
    ``gathered`` counts what all associations hold; ``release`` at the end of this one.
    """

    def __init__(
        self, association: Association, max_instance_bytes: int, gathered: Gathered
    ) -> None:
        # As its constructor does, but for the four locks of its queue.
        self._assoc = association
        self.cancel_req = {}
        self.message = None
        self.msg_queue = cast("queue.Queue[Any]", Queued())
        self.most_bytes = min(_MOST_BYTES, max_instance_bytes)
        self._gathered = gathered
        self._n_bytes = 0

    def release(self) -> None:
        """Nothing of the last message is needed any more."""
        self._gathered.remove(self._n_bytes)
        self._n_bytes = 0

    def resume(self, context_id: int, command_set: bytes, data_set: bytes) -> None:
        """Go on with a message of which the command and some data have come."""
        self.receive_primitive(_p_data(context_id, _COMMAND + command_set))
        self.receive_primitive(_p_data(context_id, _DATA + data_set))

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Add fragments to the message that is coming in.

        One by one, because the library forgets those of a PDU behind the last of a
        message (PS3.8 Annex E.1 forbids none of the next).
        """
        for value in primitive.presentation_data_value_list:
            if self.message is None:
                self.release()
            # PS3.8 9.3.5.1: a fragment has a message control header at least.
            if not value[1] or not self._has_room(len(value[1])):
                self._refuse()
                return
            try:
                super().receive_primitive(_p_data(*value))
            except _UNDECODABLE:
                self._refuse()
                return

    def _has_room(self, n_bytes: int) -> bool:
        if self._n_bytes + n_bytes > self._most() or not self._gathered.add(n_bytes):
            return False
        self._n_bytes += n_bytes
        return True

    def _most(self) -> int:
        """Of the message under way; the library knows its kind by its command set."""
        if isinstance(self.message, C_STORE_RQ):
            return self.most_bytes
        is_command = self.message is None or type(self.message) is DIMSEMessage
        return _MOST_COMMAND_BYTES if is_command else _MOST_OTHER_BYTES

    def _refuse(self) -> None:
        """PS3.8 9.2.3: AA-8 aborts as for a PDU that is not as it should be."""
        self.message = None
        self.dul.event_queue.put("Evt19")


def _p_data(context_id: int, value: bytes) -> P_DATA:
    primitive = P_DATA()
    primitive.presentation_data_value_list.append((context_id, value))
    return primitive
