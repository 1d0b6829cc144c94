"""pynetdicom's message service, for what does not take the C-STORE data path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pynetdicom.dimse import DIMSEServiceProvider

if TYPE_CHECKING:
    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import P_DATA

_MOST_BYTES = 256 << 20


class Messages(DIMSEServiceProvider):
    """Gathers messages in memory as the library does, up to a limit (PS3.7 6.3).

    A longer one ends the association: the library has no other way to stop it.
    """

    def __init__(self, association: Association, max_instance_bytes: int) -> None:
        super().__init__(association)
        self.most_bytes = min(_MOST_BYTES, max_instance_bytes)
        self._n_bytes = 0

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Add fragments to the message that is coming in."""
        if self.message is None:
            self._n_bytes = 0
        values = primitive.presentation_data_value_list
        self._n_bytes += sum(len(value) for _, value in values)
        if self._n_bytes > self.most_bytes:
            self.message = None
            # PS3.8 9.2.3: AA-8 aborts as for a PDU that is not as it should be.
            self.dul.event_queue.put("Evt19")
            return
        super().receive_primitive(primitive)
