"""What pynetdicom sets up for every association alike, made once for a server.

Its constructors take longer than a C-STORE of one image: they make a thread and five
queues that are then replaced, check our own UID and titles, and look up addresses.
Here the library makes one association, and what is the same in each is taken from it;
what belongs to one association alone is made anew. A test holds the two side by side.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol, cast

from pynetdicom import evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association, ServiceUser
from pynetdicom.transport import AddressInformation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pynetdicom.ae import ApplicationEntity

# It would format every PDU and message for its debug log.
_LIBRARY_LOG_EVENTS = (
    evt.EVT_DIMSE_RECV,
    evt.EVT_DIMSE_SENT,
    evt.EVT_PDU_RECV,
    evt.EVT_PDU_SENT,
)


class Pattern:
    """The attributes of an acceptor association of ``ae`` that has not begun.

    ``handlers``: bound to events of each association, which the event names.
    """

    def __init__(
        self,
        ae: ApplicationEntity,
        handlers: Mapping[evt.InterventionEvent, Callable[[evt.Event], Any]],
    ) -> None:
        made = Association(ae, MODE_ACCEPTOR)
        for each, handler in handlers.items():
            made.bind(each, handler)
        for event in _LIBRARY_LOG_EVENTS:
            for bound in list(cast("list[Any]", made.get_handlers(event))):
                made.unbind(event, bound[0])
        made.acceptor.maximum_length = ae.maximum_pdu_size
        made.acceptor.ae_title = ae.ae_title
        made.acceptor.implementation_class_uid = ae.implementation_class_uid
        made.acceptor.implementation_version_name = ae.implementation_version_name
        # The timers of a DUL are set when its association is.
        self.association, self.dul = dict(vars(made)), dict(vars(made.dul))
        self.requestor, self.acceptor = made.requestor, made.acceptor


class PatternServer(Protocol):
    """What an association needs to know of the server that accepts it."""

    @property
    def ae(self) -> ApplicationEntity:
        """Whose associations these are."""

    @property
    def pattern(self) -> Pattern:
        """What they all begin with."""


class User(ServiceUser):
    """One side of an association, as the library has made one like it."""

    def __init__(
        self, association: Association, like: ServiceUser, address: AddressInformation
    ) -> None:
        vars(self).update(vars(like))
        self.assoc = association
        self.address_info = address
        self._contexts = []
        # The items themselves change only until the pattern is complete.
        self._user_info = list(self._user_info)
        self._ext_neg = {kind: [] for kind in self._ext_neg}
        self._common_ext = {}


class Address(AddressInformation):
    """That of a connection, which needs no look-up each time."""

    def __init__(
        self, addr: str, port: int, flowinfo: int = 0, scope_id: int = 0
    ) -> None:
        self._addr = _looked_up(addr)
        self.port = port
        self.scope_id = scope_id
        self.flowinfo = flowinfo


@lru_cache(maxsize=256)
def _looked_up(address: str) -> str:
    return AddressInformation(address, 0).address
